"""Verdicts on the tool calls of a response: the company's rules first, then a classifier for what they leave open."""
