"""Agents over a student: graphs, chat page."""
