"""Call a model from a node: deadlines, context budget, streaming."""
