"""Hold an answer against the cells of the table: coverage, claims, numbers, citations."""
