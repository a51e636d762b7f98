"""Dual mono: a stereo recording that carries one signal twice."""

from pathlib import Path

import numpy as np

from streamer.errors import SourceError
from streamer.sources.recording.decoder import Block, Decoder

_PROBE_SECONDS = 600.0
"""A true stereo call differs within a second of speech, so only twins are read this far."""

_AUDIBLE = 1e-3
"""RMS under which a block says nothing."""

_SAME = 0.95
"""Correlation of two copies, even when a lossy codec has coded them apart."""


def louder_of_twins(path: Path) -> int | None:
    """The louder channel of a two-channel file whose channels carry the same signal, else None.

    The copies may differ in level and sign. A file in which nothing is audible has no twins.
    """
    energy = np.zeros(2)
    heard = 0
    with Decoder(path) as decoder:
        try:
            for block in decoder.blocks(decoder.rate):
                if not isinstance(block, Block):
                    continue
                samples = block.samples.astype(np.float64)
                samples -= samples.mean(axis=0) if len(samples) else 0.0
                powers = (samples**2).sum(axis=0)
                if powers.max(initial=0.0) > _AUDIBLE**2 * len(samples):
                    product = abs(float(samples[:, 0] @ samples[:, 1]))
                    if product < _SAME * float(np.sqrt(powers[0] * powers[1])) or not powers.all():
                        return None
                    energy += powers
                heard += len(samples)
                if heard > _PROBE_SECONDS * decoder.rate:
                    break
        except SourceError:
            pass  # told when the recording is replayed; what came before it is enough to judge
    return int(energy.argmax()) if energy.any() else None
