"""Records and a teacher to labelled records."""
