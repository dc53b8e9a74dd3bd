"""Calls: a method of a node, asked for by its name from anywhere on the bus."""
