"""Oracles: several and their consensus, checks before labelling, and public names."""
