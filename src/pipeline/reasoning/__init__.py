"""Students of System 1 and 2: their training data, starter teachers and training."""
