"""Answers of a given form: schemas, regular expressions, grammars."""
