"""Conversations of people with students: turns, threads, tables of their own, comparisons."""
