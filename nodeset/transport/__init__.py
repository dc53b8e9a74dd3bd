"""The wires that links run on."""
