"""The networks: pure torch. No asyncio, no files but bundles, no knowledge of `streamer`.

leaf.py            waveform -> 40 bands, a column each 30 ms (LEAF); gabor_energies.py, its filters, cheaply; pcen.py
audio_encoder.py   columns -> the 100-d audio embedding of an utterance; audio_stream.py, the same while it arrives
text_encoder.py    words -> the 100-d text embedding
context.py         the embeddings of a window of utterances, one modality -> the same in context
fusion.py          both modalities of a window -> the classes
conversation.py    all of these together, and the windows over which they judge
calibration.py     logits -> probabilities that mean what they say
state.py           a conversation while it happens, and the judgement of its utterances
bundle.py          all of it on disk; storage.py, the weights as bytes

transformer.py and recurrent.py hold the layers that several of these share. inference/ holds the same networks in the
form in which a stream runs them.
"""
