"""Starting programs, by a guardian."""
