"""Losses on what the models answer: logits, probabilities and values."""
