"""Open, make, adapt, freeze and save students."""
