"""A Messages request -> a chat completions request."""
