"""The commands ask, cache-logits, distill, expand, label, models and update."""
