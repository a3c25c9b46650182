"""OpenAI's chat completions as a wire format."""
