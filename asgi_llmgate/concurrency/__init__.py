"""asyncio tools that the standard library lacks: a cancel scope, one value per event loop, single flight."""
