"""JSON and JSON Lines to records, in any orientation."""
