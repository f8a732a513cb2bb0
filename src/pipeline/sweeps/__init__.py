"""Many trainings of one job with other settings, and which of their students to take."""
