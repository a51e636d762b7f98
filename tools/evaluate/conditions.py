"""What a live source does to speech, for `tools.evaluate speech --robustness`. Equal waves give equal results."""

from collections.abc import Callable, Mapping

import numpy as np

from streamer.audio import to_samples
from tools.data.augmentation import (
    Wave,
    crop,
    gain,
    lose_packets,
    reverberate,
    synthetic_room,
    telephone,
)
from tools.training.tasks.speech_pieces import loud_part

LOUDNESS_DB = (-12.0, 12.0)
SHORT_S = (0.4, 1.3)
_ROOM_DECAY_S, _DIRECT_TO_REVERBERANT_DB = 0.5, 3.0
_PACKETS_LOST, _BANDWIDTH_HZ = 0.05, 6000.0
_SHORTEST_S = 0.1


def short(wave: Wave) -> Wave:
    """Return a stretch of 0.4 to 1.3 s of the loud part."""
    rng = _random(wave)
    stretch = crop(loud_part(wave, 0.0, 0.0), to_samples(rng.uniform(*SHORT_S)), rng)
    return np.pad(stretch, (0, max(0, to_samples(_SHORTEST_S) - len(stretch))))


def room(wave: Wave) -> Wave:
    """Two or three metres from the microphone of a room that dies away in half a second."""
    response = synthetic_room(_ROOM_DECAY_S, np.random.default_rng(0))
    return reverberate(wave, response, _DIRECT_TO_REVERBERANT_DB)


def codec(wave: Wave) -> Wave:
    """Return a voice call of medium band that loses a packet in twenty."""
    return lose_packets(wave, _PACKETS_LOST, _BANDWIDTH_HZ, _random(wave))


CONDITIONS: Mapping[str, Callable[[Wave], Wave]] = {
    "quieter": lambda wave: gain(wave, LOUDNESS_DB[0]),
    "louder": lambda wave: gain(wave, LOUDNESS_DB[1]),
    "clipped": lambda wave: np.clip(gain(wave, LOUDNESS_DB[1]), -1.0, 1.0),
    "telephone": telephone,
    "room": room,
    "codec": codec,
    "short": short,
}
"""By their names in the result."""


def _random(wave: Wave) -> np.random.Generator:
    return np.random.default_rng(len(wave))
