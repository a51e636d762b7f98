"""How a bundle or a benchmark is made: which tasks, on which data, in which order."""
