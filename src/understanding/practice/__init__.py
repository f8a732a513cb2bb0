"""Practice: tables and questions of the project's own making, from which a student learns to
understand."""
