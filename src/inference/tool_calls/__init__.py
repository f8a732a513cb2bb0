"""Tool calls: read from text, collected from streams."""
