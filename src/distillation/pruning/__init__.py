"""Make a student smaller than its teacher by leaving out what the user's records need least."""
