"""Loaded models, worker pools, batching and queues, shared by all conversations."""
