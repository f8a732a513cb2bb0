"""Find records and columns: by key, full text, vectors, read-only SQL."""
