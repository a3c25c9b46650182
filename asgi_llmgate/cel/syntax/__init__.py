"""Parses the source text of an expression to a syntax tree."""
