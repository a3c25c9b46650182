"""JSON schemas of tools, rewritten for servers that accept a part of JSON Schema only."""
