"""The sub-commands of `nodeset`, a room for each: the click command is named as its room is."""
