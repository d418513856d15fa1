"""Pictures with masks: the task, its metrics, and how images and masks are read."""
