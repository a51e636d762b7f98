"""Encode G.711 mu-law."""

import numpy as np

from streamer.web.encodings import RawChannels


def mulaw(pcm):
    """Encode int16 samples: the code whose value is nearest."""
    table = RawChannels("mulaw", 16_000, 1).decode(bytes(range(256)))[:, 0]
    order = np.argsort(table, kind="stable")
    values = table[order]
    middles = (values[1:] + values[:-1]) / 2
    return order[np.searchsorted(middles, pcm.ravel() / 32_768)].astype(np.uint8).tobytes()
