"""Verified questions, which are always answered by the plan that a person approved."""
