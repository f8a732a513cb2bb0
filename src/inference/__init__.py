"""A checkpoint to text, scores and a chat model."""
