"""What `init` is made of."""
