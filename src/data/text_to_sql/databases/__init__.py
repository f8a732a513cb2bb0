"""Small invented databases of different domains."""
