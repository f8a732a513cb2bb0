"""Shapes of queries, each with several wordings."""
