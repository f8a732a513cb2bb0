"""Scores of given choices, confidence, embeddings."""
