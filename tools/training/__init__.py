"""Training: every command is deterministic for its seed, can be resumed, and records what a result was made from.

loop.py        the one optimisation loop; resume.py its state on disk, checkpoint.py the file format
folds.py       folds of speakers and dialogues; embeddings of each fold by encoders trained without it
parallel.py    several trainings at a time, each in a process of its own
provenance.py  settings, seed, data and commit, written beside every result
tasks/         what is learnt: audio encoders, text encoders, contexts and fusion
recipes/       how a bundle or a benchmark is made of them
"""
