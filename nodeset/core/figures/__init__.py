"""What the parts of NodeSet measure of themselves."""
