"""EasyDistill's configurations, run with stillroom's own stages."""
