"""The parts of `nodeset-open`."""
