"""A model server: the way to it, its list of models, their context windows, and calls."""
