"""Metrics of your own: count in one place, show in another."""
