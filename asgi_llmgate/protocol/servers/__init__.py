"""What differs between model servers: dialects, error texts, limits."""
