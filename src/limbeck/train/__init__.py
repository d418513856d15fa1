"""The one training loop, its plan, steps, feed and checkpoints."""
