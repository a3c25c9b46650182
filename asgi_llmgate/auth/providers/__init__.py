"""Identity providers: how one is described, the presets for the known ones, and the metadata about them."""
