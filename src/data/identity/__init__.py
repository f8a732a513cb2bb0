"""Records into ids, hashes and parts of a split; duplicates into verdicts."""
