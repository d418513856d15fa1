"""Networks for rows of several parts: a network for each, joined, and a head for each task."""
