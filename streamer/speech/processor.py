"""The ear of a conversation: from the audio of its channels to what was heard.

Synchronous and deterministic: segmentation and the audio embedding, which is computed while the person
speaks. No clock, no threads, no I/O; the pipeline calls it in a thread of the engine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap, Samples
from streamer.speech import (
    SpeechEnded,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
)
from streamer.speech.frames import FrameOrder, row_of

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 16 * FRAME
"""Samples after which the embedding advances, as `AudioStream` does."""

LOOK_BACK = SAMPLE_RATE
"""Samples that an embedding may end before what was heard; beyond, it is computed anew."""

GATHERED = SAMPLE_RATE // 4
"""Samples after which a channel is heard even if it has nothing to tell yet."""


class Segmenter(Protocol):
    """What the ear needs of `segmentation.segmenter`."""

    @property
    def next_event(self) -> int: ...  # noqa: D102

    def push(self, chunk: AudioChunk) -> Iterator[SpeechEvent]: ...  # noqa: D102

    def gap(self, start: int, end: int) -> Iterator[SpeechEvent]: ...  # noqa: D102

    def flush(self) -> Iterator[SpeechEvent]: ...  # noqa: D102


class AudioStream(Protocol):
    """What the ear needs of `streamer_models.streaming`."""

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
        self.due = max(_frame_end(started.start + interval), started.at + FRAME)
        """Where the next estimate is to be made."""
        self._stream = stream
        self._interval = interval
        self._pausing = False
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._heard = 0
        self.hear(started.samples)

    def hear(self, samples: Samples) -> None:
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        self._heard += len(samples)
        if self._waiting_samples >= BLOCK and not self._pausing:
            self._advance()

    def pause(self) -> None:
        """It may be over: what comes now waits until it is known to belong to it."""
        self._advance()
        self._pausing = True

    def resume(self) -> None:
        """It was not over."""
        self._pausing = False

    def estimate(self, at: int) -> "Tensor":
        """The embedding so far, all having been heard up to there; in a pause, up to the pause."""
        self.due = _frame_end(at + self._interval)
        if not self._pausing:
            self._advance()
        return self._stream.estimate()

    def finish(self, ended: SpeechEnded, fresh: Callable[[], AudioStream]) -> "Tensor":
        length = ended.end - ended.start
        pushed = self._heard - self._waiting_samples
        if pushed - length > LOOK_BACK:
            self._stream = fresh()
            self._stream.push(ended.samples)
        else:
            self._advance(max(0, length - pushed))
        return self._stream.embedding(length)

    def _advance(self, most: int | None = None) -> None:
        if self._waiting:
            self._stream.push(np.concatenate(self._waiting)[:most])
            self._waiting.clear()
            self._waiting_samples = 0


class Listener:
    """Hears all channels of one conversation: what is pushed, as soon as it may have something to tell.

    Until then audio is gathered, since much of it at a time costs less: while nobody speaks, until an utterance
    could have begun; while someone does, until it could have paused. So nothing is told later for it.

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

    def push(self, item: AudioChunk | Gap) -> None:
        """Keep audio of one channel until it is heard; this costs nothing."""
        self._order.push(item)

    @property
    def due(self) -> bool:
        """Whether what waits may have something to tell."""
        return self._order.is_due([*map(self._wanted, count(), self._order.positions)])

    def _wanted(self, channel: int, position: int) -> int:
        """Where to a channel has to be known before it may have something to tell."""
        segmenter, voice = self._segmenters[channel], self._voices.get(channel)
        wanted = position + GATHERED
        if segmenter is not None:
            wanted = min(wanted, segmenter.next_event)
        if voice is not None and self.estimating:
            wanted = min(wanted, voice.due)
        return wanted

    def hear(self) -> list[Heard]:
        """Hear what is due; tell what was heard, in the order of time."""
        return self._in_order(self._order.take())

    def finish(self) -> list[Heard]:
        """The audio is over: hear the rest, and end what is being said."""
        heard = self._in_order(self._order.take(closed=True))
        for channel, segmenter in enumerate(self._segmenters):
            if segmenter is not None:
                heard.extend(self._follow(channel, event) for event in segmenter.flush())
        return heard

    def _in_order(self, pieces: list[AudioChunk | Gap]) -> list[Heard]:
        """What is heard in these pieces: row by row, channel by channel."""
        heard = [(row, piece.channel, what) for piece in pieces for row, what in self._take(piece)]
        return [what for *_, what in sorted(heard, key=itemgetter(0, 1))]

    def _take(self, piece: AudioChunk | Gap) -> Iterator[tuple[int, Heard]]:
        """What is heard in a piece, each with its row."""
        segmenter = self._segmenters[piece.channel]
        if segmenter is None:
            return
        if isinstance(piece, Gap):
            for event in segmenter.gap(piece.start, piece.end):
                yield row_of(piece.start), self._follow(piece.channel, event)
            yield row_of(piece.start), Lost(piece)
            return
        position = piece.start
        for event in segmenter.push(piece):
            yield from self._listen(piece, position, event.at)
            yield row_of(event.at - 1), self._follow(piece.channel, event)
            position = event.at
        yield from self._listen(piece, position, piece.end + 1)

    def _listen(self, piece: AudioChunk, begin: int, end: int) -> Iterator[tuple[int, Estimate]]:
        """Let the voice in it hear a part of a piece, and make the estimates due before its end."""
        voice = self._voices.get(piece.channel)
        if voice is None:
            return
        while self.estimating and voice.due < end:
            at = max(voice.due, begin)
            voice.hear(piece.samples[begin - piece.start : at - piece.start])
            begin = at
            estimate = Estimate(piece.channel, voice.start, at, voice.estimate(at))
            yield row_of(at - 1), estimate
        voice.hear(piece.samples[begin - piece.start : end - piece.start])

    def _follow(self, channel: int, event: SpeechEvent) -> Heard:
        match event:
            case SpeechStarted():
                self._voices[channel] = _Voice(event, self._stream(), self._interval)
                return Started(channel, event.start, event.at)
            case SpeechPaused():
                self._voices[channel].pause()
                return Paused(channel, event.start, event.end, event.samples)
            case SpeechResumed():
                self._voices[channel].resume()
                return Resumed(channel, event.start)
            case SpeechEnded():
                voice = self._voices.pop(channel)
                return Ended(channel, event, voice.finish(event, self._stream))


def _frame_end(sample: int) -> int:
    """The end of the frame that a sample is in, or stands at the end of."""
    return -(-sample // FRAME) * FRAME
