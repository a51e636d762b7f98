"""Encoders: from an utterance's audio or text to its embedding."""
