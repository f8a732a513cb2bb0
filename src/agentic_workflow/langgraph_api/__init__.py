"""LangGraph Server's HTTP API over workflows: assistants, threads, runs, event streams.

Runs and their events are rows beside the threads they belong to, in SQLite or PostgreSQL. Any
process that shares the database serves any thread, and takes over the runs of one that died.
"""
