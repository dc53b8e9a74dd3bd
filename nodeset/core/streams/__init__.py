"""Streams: chunks from node to node, past the dispatcher."""
