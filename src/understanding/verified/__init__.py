"""Verified questions: each with the plan that a person approved, and always answered by it."""
