"""Files, folders and databases to records."""
