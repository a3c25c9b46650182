"""A chat completions response -> a Message, as events or as one document."""
