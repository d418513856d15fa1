"""Losses on embeddings of the two texts of a row."""
