"""Turn examples into batches: tokenisation, packing, alignment of tokenizers."""
