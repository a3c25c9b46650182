"""The sections of the settings, a file for each: its structs, and what makes runtime objects of them."""
