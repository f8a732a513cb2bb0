"""Files and tables to clean, identified records and questions."""
