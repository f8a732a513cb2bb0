"""CSV to records: dialect, header, escapes, blocks."""
