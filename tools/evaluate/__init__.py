"""How good a bundle is, said in one form by every command: counts, rates, intervals, groups.

metrics.py        the measures and their intervals; nothing about what was measured
output.py         what every command prints and writes
judging.py        a bundle's probabilities for dialogues that are embedded already
speech.py         clips of speech, by audio alone
conversations.py  written dialogues in order, past only; voices can be added
recordings.py     whole recordings through the pipeline
iemocap.py        the research benchmark (dyadic.py: its conditions; ensemble.py: several models)
segmentation.py   voice detection against RTTM (detection.py, rttm.py)
diarization.py    who speaks when in one channel (speaker_errors.py)
transcription.py  the word error rate
report.py         one page of results
"""
