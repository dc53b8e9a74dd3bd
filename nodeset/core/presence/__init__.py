"""Presence: who is there, how each of them is."""
