"""Records of known data sets and chat formats, splits, JSON files."""
