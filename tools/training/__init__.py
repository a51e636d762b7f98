"""Training: every command is deterministic for its seed, can be resumed, and says what it was made from.

bundle.py          the command that makes the shipped bundle
bundle_run.py      its settings; where things are, and what each result depends on
stages.py          its stages, each kept in a folder of its own
folds.py           the training part in folds; embeddings as if no encoder had seen it (alignment.py)
composed.py        the dialogues that contexts and fusion learn from
assembly.py        the trained networks -> a bundle: rounded, calibrated, with a card (model_card.py, model_card.md)

audio.py           the audio stage: LEAF's compression and the convolutional network, on labelled clips
audio_run.py       its settings; one epoch of it, saved and taken up again
audio_data.py      which clips it learns from, how often, in which versions
audio_network.py   what is trained: encoder and heads; augmentation of energies
energies.py        LEAF's energies of all clips, kept on disk

text.py            the text stage: MiniLM and the GRU, on labelled utterances
text_noise.py      errors such as recognisers make
minilm.py          where the text encoder starts

dialogues.py       the stages of contexts and fusion, on embedded dialogues
open_dialogues.py  the written dialogues that the shipped bundle learns from
composition.py     dialogues with voices: written ones and clips put together
clip_embeddings.py the audio embeddings of clips, in several versions

iemocap.py         the research benchmark; beside it its own modules
workers.py         several trainings at a time
checkpoint.py      tensors and what they are, on disk in one step
provenance.py      settings, seed, data, commit: written beside every result
"""
