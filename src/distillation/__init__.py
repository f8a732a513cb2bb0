"""Labelled records and a teacher to a student checkpoint."""
