"""Students that score the dimensions of a filter: opened from a folder, and run on texts."""
