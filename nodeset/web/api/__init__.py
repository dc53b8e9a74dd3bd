"""What programs without NodeSet publish, call."""
