"""From raw scores to a weighted average, pass or block, and a tier; how well a student does it."""
