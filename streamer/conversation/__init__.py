"""One conversation: from processed speech to events."""
