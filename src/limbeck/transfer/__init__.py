"""The transfer set: a teacher's answers on disk, with an identity, memory-mapped, resumable."""
