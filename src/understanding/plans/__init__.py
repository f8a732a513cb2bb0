"""Plans: what may be asked of a table, as data, and how it is run."""
