"""Typed tables: cells parsed into numbers with units, dates, lists and words."""
