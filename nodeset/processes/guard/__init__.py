"""The guardian's own process: the parent of all programs that a supervisor runs."""
