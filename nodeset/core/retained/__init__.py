"""Retained values: what a publisher keeps of its events for whoever subscribes later."""
