"""Data for training and evaluation: speech, decoded once and made to sound like live audio; dialogues in order.

manifest.py       which clips there are, who speaks, what is expressed; the splits
decoding.py       a file -> mono samples at 16 kHz
cache.py          all clips of a manifest decoded once, in one memory-mapped file
augmentation.py   gain, noise, rooms, telephone, lost packets, speed, clipping, cropping
conversations.py  written dialogues: who says what, in order, and the emotion expressed
iemocap.py        the research benchmark: features and texts of dyadic talk
"""
