"""Many wordings of each question: written by a teacher or from frames, and checked."""
