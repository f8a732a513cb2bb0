"""Scores of a filter into a judgement: evaluation, gate, drift, what to label next, promotion."""
