"""From a Messages request to a chat completions request, and from its response back to a Message."""
