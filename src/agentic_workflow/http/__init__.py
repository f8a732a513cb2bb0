"""The HTTP service: one place that runs turns, and the app with its limits and authentication."""
