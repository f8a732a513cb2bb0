"""Label many records: worker loop, journal, budget, rate limits, failures."""
