"""Sources of the teacher's distributions: a model, a cache, a server, recorded probabilities."""
