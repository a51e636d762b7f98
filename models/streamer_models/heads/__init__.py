"""Heads: from embeddings to calibrated predictions."""
