"""Stored conversations: checkpointer, leases, SQL store, serializer, pruning.

A thread is a conversation. A turn is one run of a graph in a thread, from its input to the stored
state. A lease is the right to write to a thread, which one turn at a time has.
"""
