"""Models and held-out records to numbers, pictures and a report."""
