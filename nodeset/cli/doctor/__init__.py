"""What `doctor` is made of."""
