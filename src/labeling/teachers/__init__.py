"""Teachers: local models, servers, LangChain models."""
