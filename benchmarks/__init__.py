"""How fast NodeSet is beside what else a Python user would pick; `make bench` runs it."""
