"""What programs write, on its way to whoever takes it."""
