"""Losses on inner features: taps of the student against taps of the teacher."""
