"""Live input devices: capture, clock drift, gaps."""
