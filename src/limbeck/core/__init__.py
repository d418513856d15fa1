"""What every layer stands on: errors, specs, files, the run folder, the console; nothing of distillation."""
