"""streamer: which emotion each utterance of a conversation expresses, while the talk goes on."""

__version__ = "0.1.0"
