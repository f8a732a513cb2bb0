"""The main job, from a table to a measured student: one file per step."""
