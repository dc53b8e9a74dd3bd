"""The center: it logs what watched programs do, knows how each of them is."""
