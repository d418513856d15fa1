"""Rows of sound: how clips are read, checked and augmented."""
