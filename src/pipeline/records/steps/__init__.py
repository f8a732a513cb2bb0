"""Steps that load, identify, check, select and combine records."""
