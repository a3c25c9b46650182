"""The public keys of identity providers: where they come from, which of them are used, and the cache."""
