"""The units of audio and time inside the program."""

SAMPLE_RATE = 16_000
"""Samples per second of every channel, once decoded."""

FRAME = 480
"""Samples of one frame (30 ms): one voice decision, one column of LEAF, one step of the segmenter."""


def to_samples(seconds: float) -> int:
    """The count of samples nearest to a time in seconds."""
    return round(seconds * SAMPLE_RATE)


def to_seconds(samples: int) -> float:
    """Seconds as events carry them: three decimals."""
    return round(samples / SAMPLE_RATE, 3)
