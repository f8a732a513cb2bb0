"""Conversations that survive: checkpointers, leases, serialisation, pruning."""
