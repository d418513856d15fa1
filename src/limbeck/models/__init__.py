"""Anything that answers a batch: outputs, taps, adapters, the small zoo, students."""
