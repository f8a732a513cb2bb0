"""Losses of distillation: the divergences, their mixture with cross-entropy, their computation."""
