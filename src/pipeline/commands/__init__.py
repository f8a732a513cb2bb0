"""The commands distill, label, expand and cache-logits."""
