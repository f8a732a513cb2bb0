"""The forward pass of Llama-shaped models in plain torch."""
