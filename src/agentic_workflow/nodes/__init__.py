"""The nodes of the graphs: agents, tools, validator, retries, confidence, teacher, approval."""
