"""From a table to a student that answers, with numbers: one file per step."""
