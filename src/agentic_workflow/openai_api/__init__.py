"""The HTTP API in OpenAI's shapes: models, chat completions, responses, embeddings."""
