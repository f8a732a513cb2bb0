"""Commands of LLM Distillery under their own names and with their own options."""
