"""Voice activity detectors: the probability of speech in each 30 ms frame."""
