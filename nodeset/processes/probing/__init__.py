"""Asking programs how they do."""
