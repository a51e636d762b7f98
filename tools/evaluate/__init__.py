"""How good a bundle is, said in one form by every command: counts, rates, intervals, groups.

metrics.py   the measures and their intervals; nothing about what was measured
speech.py    clips of speech, by audio alone
"""
