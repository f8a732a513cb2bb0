"""`ground_truth` of LLM Distillery, for `python -m ground_truth.batch_labeler`."""
