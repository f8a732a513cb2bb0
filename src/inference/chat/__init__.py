"""The LangChain chat model: prompts, messages, streams, structured answers."""
