"""One engine for many callers: queue, batches, sampling, streams."""
