"""Rank the candidate plans of a question with a small trained network."""
