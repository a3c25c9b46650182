"""The sections of the settings, one file each: the structs, and functions that make runtime objects from them."""
