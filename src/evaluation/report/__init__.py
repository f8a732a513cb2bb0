"""The report of a run: one `Report`, written as an HTML page, as JSON and as Markdown."""
