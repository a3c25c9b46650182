"""JSON that is copied rather than parsed again: strings, objects and arrays as they stand on the wire."""
