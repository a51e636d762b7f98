"""The ear of a conversation: from the audio of its channels to what was heard.

Synchronous and deterministic: segmentation and the audio embedding, which is computed while the person
speaks. No clock, no threads, no I/O; the pipeline calls it in a thread of the engine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streamer.frames import FrameOrder
from streamer.segmentation import (
    SpeechEnded,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from streamer.sources import AudioChunk, Gap, Samples
from streamer.units import FRAME, SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 12 * FRAME
"""Samples after which the embedding advances, as `AudioStream` does."""

LOOK_BACK = SAMPLE_RATE
"""Samples that an embedding may end before what was heard; beyond, it is computed anew."""


class Segmenter(Protocol):
    """What the ear needs of `segmentation.segmenter`."""

    def push(self, chunk: AudioChunk) -> Iterator[SpeechEvent]: ...  # noqa: D102

    def gap(self, start: int, end: int) -> Iterator[SpeechEvent]: ...  # noqa: D102

    def flush(self) -> Iterator[SpeechEvent]: ...  # noqa: D102


class AudioStream(Protocol):
    """What the ear needs of `models.audio_stream`."""

    def push(self, samples: Samples) -> None: ...  # noqa: D102

    def estimate(self) -> "Tensor": ...  # noqa: D102

    def embedding(self, end: int | None = None) -> "Tensor": ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Started:
    """An utterance began at `start`."""

    channel: int
    start: int
    at: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The audio embedding of an utterance that goes on."""

    channel: int
    start: int
    at: int
    embedding: "Tensor"


@dataclass(frozen=True, slots=True)
class Paused:
    """The utterance may be over: its samples if so."""

    channel: int
    start: int
    end: int
    samples: Samples


@dataclass(frozen=True, slots=True)
class Resumed:
    """The utterance was not over."""

    channel: int
    start: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over: `speech` tells where, and holds its samples."""

    channel: int
    speech: SpeechEnded
    embedding: "Tensor"


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio was lost."""

    gap: Gap


Heard = Started | Estimate | Paused | Resumed | Ended | Lost


class _Voice:
    """The utterance that one channel is in the middle of."""

    def __init__(self, started: SpeechStarted, stream: AudioStream, interval: int) -> None:
        self.start = started.start
        self._stream = stream
        self._interval = interval
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._heard = 0
        self._next_estimate = interval
        self.hear(started.samples)

    def hear(self, samples: Samples) -> None:
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        self._heard += len(samples)
        if self._waiting_samples >= BLOCK:
            self._advance()

    def estimate(self) -> "Tensor | None":
        """The embedding so far, if the time for one has come."""
        if self._heard < self._next_estimate:
            return None
        self._next_estimate = self._heard + self._interval
        self._advance()
        return self._stream.estimate()

    def finish(self, ended: SpeechEnded, fresh: Callable[[], AudioStream]) -> "Tensor":
        length = ended.end - ended.start
        if self._heard - length > LOOK_BACK:
            self._stream = fresh()
            self._stream.push(ended.samples)
        else:
            self._advance()
        return self._stream.embedding(length)

    def _advance(self) -> None:
        if self._waiting:
            self._stream.push(np.concatenate(self._waiting))
            self._waiting.clear()
            self._waiting_samples = 0


class Listener:
    """Hears all channels of one conversation.

    Args:
        segmenters: one for each channel; None for a channel that is not to be heard at all.
        stream: makes the embedding of a new utterance.
        interval: samples of speech between two estimates.
        wait: whether the channels wait for each other (see `FrameOrder`).
    """

    def __init__(
        self,
        segmenters: list[Segmenter | None],
        stream: Callable[[], AudioStream],
        *,
        interval: int,
        wait: bool,
    ) -> None:
        self._segmenters = segmenters
        self._stream = stream
        self._interval = interval
        self._order = FrameOrder(len(segmenters), wait=wait)
        self._voices: dict[int, _Voice] = {}
        self.estimating = True
        """Whether to make estimates; a live conversation that is behind does without."""

    def hear(self, item: AudioChunk | Gap) -> list[Heard]:
        """Take audio of one channel; tell what was heard, in the order of time."""
        return [heard for piece in self._order.push(item) for heard in self._take(piece)]

    def finish(self) -> list[Heard]:
        """The audio is over: end what is being said."""
        heard = [heard for piece in self._order.flush() for heard in self._take(piece)]
        for channel, segmenter in enumerate(self._segmenters):
            if segmenter is not None:
                heard.extend(self._follow(channel, segmenter.flush()))
        return heard

    def _take(self, piece: AudioChunk | Gap) -> Iterator[Heard]:
        segmenter = self._segmenters[piece.channel]
        if segmenter is None:
            return
        if isinstance(piece, Gap):
            yield from self._follow(piece.channel, segmenter.gap(piece.start, piece.end))
            yield Lost(piece)
            return
        voice = self._voices.get(piece.channel)
        if voice is not None:
            voice.hear(piece.samples)
        yield from self._follow(piece.channel, segmenter.push(piece))
        if self.estimating and voice is not None and self._voices.get(piece.channel) is voice:
            embedding = voice.estimate()
            if embedding is not None:
                yield Estimate(piece.channel, voice.start, piece.end, embedding)

    def _follow(self, channel: int, events: Iterator[SpeechEvent]) -> Iterator[Heard]:
        for event in events:
            match event:
                case SpeechStarted():
                    self._voices[channel] = _Voice(event, self._stream(), self._interval)
                    yield Started(channel, event.start, event.at)
                case SpeechPaused():
                    yield Paused(channel, event.start, event.end, event.samples)
                case SpeechResumed():
                    yield Resumed(channel, event.start)
                case SpeechEnded():
                    voice = self._voices.pop(channel)
                    yield Ended(channel, event, voice.finish(event, self._stream))
