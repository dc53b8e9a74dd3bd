"""The rooms of `nodeset top`."""
