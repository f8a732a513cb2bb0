"""Examples to batches: tokens, packing, alignment of tokenizers."""
