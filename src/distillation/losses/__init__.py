"""Losses of distillation: divergences, how they are mixed, how they are computed."""
