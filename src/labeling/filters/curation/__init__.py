"""Oracle labels into balanced, group-safe training, validation and test files."""
