"""Find the values of a table that a question names."""
