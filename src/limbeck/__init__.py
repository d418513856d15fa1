"""limbeck: knowledge distillation with a control."""
