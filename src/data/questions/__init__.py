"""A table to questions: profile, phrasings, question-answer pairs, training texts."""
