"""Check answers against the table: question coverage, claims, numbers, citations."""
