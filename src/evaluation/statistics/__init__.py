"""Two models on the same records: aligned outcomes, paired tests, intervals, a verdict in words."""
