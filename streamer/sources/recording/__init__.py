"""Recorded audio: decoding, integrity checks, duplicate channels."""
