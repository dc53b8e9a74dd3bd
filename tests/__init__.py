"""Promises of NodeSet, in the words of its users."""
