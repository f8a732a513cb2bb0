"""Ranks the plans that a question may mean."""
