"""Losses on sequences: token by token, on text of the teacher's or of the student's."""
