"""Make a student by removing the parts of a teacher that the user's records need least."""
