"""Students of System 1 and 2: rows, starter teachers, training."""
