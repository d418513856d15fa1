"""Data that does not fit in memory: read once from shards or iterators to disk, and from there row by row."""
