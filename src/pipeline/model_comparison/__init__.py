"""Two or more models on the same records: from files, run folders or checkpoints to a verdict."""
