"""Context over the utterances of a conversation, and the fusion of modalities."""
