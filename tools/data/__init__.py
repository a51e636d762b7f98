"""Speech for training and evaluation: clips and their labels, decoded once, made to sound like live audio.

manifest.py       which clips there are, who speaks, what is expressed; the splits
decoding.py       a file -> mono samples at 16 kHz
cache.py          all clips of a manifest decoded once, in one memory-mapped file
augmentation.py   gain, noise, rooms, telephone, lost packets, speed, clipping, cropping
"""
