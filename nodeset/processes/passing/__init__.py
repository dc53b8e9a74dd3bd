"""A program in our own place: its files, its terminal, its signals passed on."""
