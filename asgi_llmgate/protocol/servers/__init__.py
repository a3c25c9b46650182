"""What differs between model servers: a table of dialects, the wordings of their errors, and what follows from them."""
