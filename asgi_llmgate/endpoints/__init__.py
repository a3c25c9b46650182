"""The terminal app and its endpoints, one module for each kind of route."""
