"""The program file: what is in it, in which order that is started."""
