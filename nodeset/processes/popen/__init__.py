"""Child processes as subprocess has them, with Deferreds."""
