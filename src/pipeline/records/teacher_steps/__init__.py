"""Steps that ask a model: text generation and judges, and the models they ask."""
