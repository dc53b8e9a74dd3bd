"""What `grant`, `revoke` with `furl` are made of."""
