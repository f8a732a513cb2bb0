"""Record pipelines in YAML and JSON files: classes by name, layers of settings, environment."""
