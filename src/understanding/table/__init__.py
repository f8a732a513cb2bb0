"""A table as people speak of it: cells with their numbers, dates, lists and plain words."""
