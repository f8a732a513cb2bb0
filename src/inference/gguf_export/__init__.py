"""A checkpoint as a GGUF file, for llama.cpp and Ollama."""
