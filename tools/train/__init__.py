"""Training: every command is deterministic for its seed, can be resumed, and says what it was made from.

audio.py          the audio stage: LEAF's compression and the convolutional network, on labelled clips
audio_run.py      its settings; one epoch of it, saved and taken up again
audio_data.py     which clips it learns from, how often, in which versions
audio_network.py  what is trained: encoder and heads; augmentation of energies
energies.py       LEAF's energies of all clips, kept on disk
checkpoint.py     tensors and what they are, on disk in one step
provenance.py     settings, seed, data, commit: written beside every result
"""
