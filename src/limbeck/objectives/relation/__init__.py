"""Losses on the relations between the rows of a batch."""
