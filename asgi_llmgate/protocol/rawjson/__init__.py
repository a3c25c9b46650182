"""JSON that is copied as bytes and parsed only where a decision needs it."""
