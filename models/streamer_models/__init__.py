"""The networks: pure torch. No asyncio, no files but bundles, no knowledge of `streamer`.

layers/     LEAF, PCEN, Gabor energies, transformer and recurrent layers
encoders/   an utterance's audio or text -> its 100-d embedding
context/    embeddings of a window of utterances -> the same in context; fusion of modalities
heads/      calibration of logits
zoo/        published systems: which of these they wire, and how
streaming.py  the audio encoder over audio that arrives in pieces
memory.py   a conversation while it happens, and the classification of its utterances
bundle.py   all of it on disk; storage.py, the weights as bytes
fast/       the same networks in the form in which a stream runs them
"""
