"""Answers to questions over a table: with their cells, or withheld."""
