"""Reports of finished runs: of the main job, of a text-to-SQL run, of a filter's students."""
