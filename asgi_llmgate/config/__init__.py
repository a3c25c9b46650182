"""The settings: their schema, and what makes the parts of a gateway of them."""
