"""Models by name: packaged models, GGUF files and the cache that keeps them converted."""
