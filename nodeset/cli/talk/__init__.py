"""What `pub`, `sub` with `call` are made of."""
