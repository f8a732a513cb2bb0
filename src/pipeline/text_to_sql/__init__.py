"""Text to SQL: a teacher of small databases, its student, and both on a schema never seen."""
