"""Load a checkpoint folder safely: file checks, configuration, tokenizer, templates."""
