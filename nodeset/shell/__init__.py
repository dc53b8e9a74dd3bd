"""A Python prompt inside a running service."""
