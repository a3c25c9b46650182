"""The terminal app and its endpoints, a file for each kind of path."""
