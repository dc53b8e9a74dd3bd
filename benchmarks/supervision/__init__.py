"""What `make bench-processes` is made of: supervisors that do the same, looked at from outside."""
