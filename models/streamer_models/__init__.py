"""The networks: pure torch. No asyncio, no files but bundles, no knowledge of `streamer`.

contract.py   what encoders, context models, heads and systems promise: shapes, units, receptive field
registry.py   encoders and systems by name, third parties' included
layers/       LEAF, PCEN, attention, pooling, recurrent layers
encoders/     an utterance's audio or text -> its embedding
context/      embeddings of a window of utterances -> the same in context; fusion of modalities
heads/        calibration of logits; valence and arousal
zoo/          published systems: which of these they wire, and how
streaming.py  audio encoders over audio that arrives in pieces
memory.py     a conversation while it happens: windows of past utterances
classifier.py windows -> predictions
bundle.py     all of it on disk; manifest.py, backbones.py, storage.py, tokenizer.py
fast/         optional, equal, cheaper forms for inference
speaker_encoder.py, sound_network.py   voices and sounds, beside the emotion models
"""
