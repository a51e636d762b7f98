"""Samples in memory as a source of the pipeline."""

from collections.abc import AsyncIterator
from typing import Self

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples
from streamer.sources import SourceInfo


class SamplesSource:
    """One channel of samples, delivered by the second.

    Args:
        name: Of the source and of its session.
        samples: float32 [n] in [-1, 1] at 16 kHz.
    """

    def __init__(self, name: str, samples: Samples) -> None:
        self._samples = samples
        duration = len(samples) / SAMPLE_RATE
        self.info = SourceInfo(name, ("mono",), live=False, session=name, duration=duration)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        for start in range(0, len(self._samples), SAMPLE_RATE):
            yield AudioChunk(0, start, self._samples[start : start + SAMPLE_RATE])
