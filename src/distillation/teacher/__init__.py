"""The teacher's distributions: online, from a cache, from another tokenizer."""
