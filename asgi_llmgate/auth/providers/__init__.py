"""Identity providers: what is known of each before it sends anything."""
