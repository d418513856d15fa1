"""How good a student is, how like its teacher, at what cost, and why: arrays in, numbers out."""
