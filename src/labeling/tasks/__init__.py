"""What a teacher is asked: labels, scores, new examples, reasoning."""
