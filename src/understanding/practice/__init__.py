"""Generate tables with questions and their plans, on which the ranker is trained."""
