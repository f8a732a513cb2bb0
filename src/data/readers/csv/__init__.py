"""CSV to records: dialect, header, rows, fast blocks."""
