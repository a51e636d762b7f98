"""From the audio of a conversation's channels to its speech events, embeddings included.

The embedding is computed while the person speaks: whenever enough audio of an utterance is there, and at its
pauses, updates and end. The audio is held once, by the segmenter.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap, Samples
from streamer.speech import (
    Effort,
    SpeechEnded,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    SpeechUpdate,
)
from streamer.speech.acoustics import measure
from streamer.speech.crosstalk import CrosstalkGate
from streamer.speech.frames import row_of
from streamer.speech.segmenter import Segmenter, SegmenterEvent
from streamer.speech.sounds import SoundDetector

if TYPE_CHECKING:
    from torch import Tensor

    from streamer_models.contract import AudioStream

PUSHED = 16 * FRAME
"""Samples of an utterance that are pushed to its stream at a time: few calls, and little left to do at the end."""

PARTIAL_FROM = SAMPLE_RATE
"""Samples of an unfinished utterance that may hold a word or two."""
PARTIAL_GROWTH = 8
"""Parts of an utterance by one of which it grows before it is transcribed again: the longer, the more that costs."""


class _UtteranceEncoder:
    """The audio embedding of the utterance that one channel is in the middle of."""

    def __init__(
        self,
        started: SpeechStarted,
        segmenter: Segmenter,
        new_stream: "Callable[[], AudioStream]",
        interval: int,
    ) -> None:
        self.start = started.start
        self.due = max(_frame_end(started.start + interval), started.at + FRAME)
        """Sample at which the next update is made."""
        self._segmenter = segmenter
        self._new_stream = new_stream
        self._stream = new_stream()
        self._interval = interval
        self._pausing = False
        self._pushed = started.start
        self._partial_due = started.start + PARTIAL_FROM

    def advance(self, at: int) -> None:
        """Push what there is up to a sample, if it is worth a call; nothing during a pause."""
        if not self._pausing and at - self._pushed >= PUSHED:
            self._push(at)

    def partial(self, at: int) -> Samples | None:
        """Return a copy of the utterance up to a sample if it has grown enough; None in a pause."""
        if self._pausing or at < self._partial_due:
            return None
        length = at - self.start
        self._partial_due = at + length // PARTIAL_GROWTH
        return self._segmenter.view(self.start, at).copy()

    def pause(self, at: int) -> None:
        """Hold further audio back until it is known to belong to the utterance."""
        self._push(at)
        self._pausing = True

    def resume(self) -> None:
        """Go on after a pause."""
        self._pausing = False

    def update(self, at: int) -> "Tensor | None":
        """Return about the embedding of the utterance up to a sample, or to a pause; None: it is too early."""
        self.due = _frame_end(at + self._interval)
        if not self._pausing:
            self._push(at)
        return self._stream.estimate()

    def finish(self, ended: SpeechEnded) -> "Tensor":
        """Return the embedding of the whole utterance."""
        if self._pushed - ended.end <= self._stream.look_back:
            self._push(ended.end)
            return self._stream.embedding(ended.end - ended.start)
        stream = self._new_stream()  # a split far back: compute it again
        stream.push(ended.samples)
        return stream.embedding()

    def _push(self, end: int) -> None:
        if end > self._pushed:
            self._stream.push(self._segmenter.view(self._pushed, end))
            self._pushed = end


class ChannelProcessor:
    """The speech events of one channel.

    Args:
        channel: index of the channel.
        segmenter: finds the utterances.
        new_stream: makes the audio stream of a new utterance.
        interval: samples between two updates while somebody speaks.
        partial: whether updates hold the audio so far, to be transcribed.
        sounds: finds what is no speech; None: that is not asked for.
    """

    def __init__(
        self,
        channel: int,
        segmenter: Segmenter,
        new_stream: "Callable[[], AudioStream]",
        interval: int,
        *,
        partial: bool = False,
        sounds: SoundDetector | None = None,
    ) -> None:
        self._channel = channel
        self._segmenter = segmenter
        self._sounds = sounds
        self._new_stream = new_stream
        self._interval = interval
        self._partial = partial
        self._encoder: _UtteranceEncoder | None = None
        self._position = 0
        """End of the audio whose events have been passed on."""
        self._updating = True

    def set_effort(self, effort: Effort) -> None:
        """See `SpeechProcessor.set_effort`."""
        self._updating = effort == Effort.ALL
        self._segmenter.effort = effort

    @property
    def next_event(self) -> int:
        """First sample at which this channel can produce its next event."""
        first = self._segmenter.next_event
        if self._encoder and self._updating:
            first = min(first, self._encoder.due)
        return min(first, self._sounds.next_event) if self._sounds else first

    def push(self, item: AudioChunk | Gap) -> Iterator[SpeechEvent]:
        """Process the next audio, or its loss."""
        if isinstance(item, Gap):
            yield from self.flush(item)
            yield item
        elif self._sounds:
            for chunk in self._sounds.cut(item):
                yield from self._speech(chunk)
                yield from self._sounds.push(chunk)
                self._segmenter.set_cautious(cautious=self._sounds.music)
        else:
            yield from self._speech(item)

    def flush(self, gap: Gap | None = None) -> Iterator[SpeechEvent]:
        """End the audio, or all before a gap, and with it an utterance or a sound that has not ended."""
        ended = self._segmenter.gap(gap.start, gap.end) if gap else self._segmenter.flush()
        yield from map(self._complete, ended)
        if self._sounds:
            yield from self._sounds.finish()

    def _speech(self, chunk: AudioChunk) -> Iterator[SpeechEvent]:
        self._position = chunk.start
        for event in self._segmenter.push(chunk):
            yield from self._updates(event.at - 1)
            yield self._complete(event)
            self._position = event.at
        yield from self._updates(chunk.end)
        if self._encoder:
            self._encoder.advance(chunk.end)

    def _updates(self, end: int) -> Iterator[SpeechUpdate]:
        """Make the updates that are due up to a sample."""
        encoder = self._encoder
        while encoder and self._updating and encoder.due <= end:
            at = max(encoder.due, self._position)
            if (embedding := encoder.update(at)) is None:
                continue
            samples = encoder.partial(at) if self._partial else None
            speaker = self._segmenter.speaker_at(at)
            yield SpeechUpdate(self._channel, encoder.start, at, embedding, samples, speaker)

    def _complete(self, event: SegmenterEvent) -> SpeechEvent:
        """Follow an event of the segmenter; add the embedding at the end of an utterance."""
        encoder = self._encoder
        match event:
            case SpeechStarted():
                self._encoder = _UtteranceEncoder(
                    event, self._segmenter, self._new_stream, self._interval
                )
            case SpeechPaused() if encoder:
                encoder.pause(event.at)
            case SpeechResumed() if encoder:
                encoder.resume()
            case SpeechEnded() if encoder:
                self._encoder = None
                embedding, acoustics = encoder.finish(event), measure(event.samples)
                return replace(event, embedding=embedding, acoustics=acoustics)
        return event


@dataclass(frozen=True, slots=True)
class Processed:
    """What became known from some audio."""

    events: list[SpeechEvent]
    """In the order of time."""
    next_events: list[int]
    """For each channel, the first sample at which its next event is possible."""


class SpeechProcessor:
    """The speech events of all channels of one conversation, in the order of time.

    Args:
        channels: one for each channel; None for a channel that is not analysed.
    """

    def __init__(self, channels: Sequence[ChannelProcessor | None]) -> None:
        self._channels = channels
        self._crosstalk = CrosstalkGate(len(channels))

    def set_effort(self, effort: Effort) -> None:
        """Say how much is done from now on."""
        for channel in self._channels:
            if channel:
                channel.set_effort(effort)

    @property
    def next_events(self) -> list[int]:
        """For each channel, the first sample at which its next event is possible."""
        return [channel.next_event if channel else sys.maxsize for channel in self._channels]

    def process(self, pieces: Sequence[AudioChunk | Gap]) -> Processed:
        """Process the next complete rows (see `FrameOrder.take`)."""
        return Processed(self._in_order(pieces), self.next_events)

    def finish(self, pieces: Sequence[AudioChunk | Gap]) -> Processed:
        """Process the rest at the end of the audio, and end all utterances."""
        events = self._in_order(pieces)
        for channel in self._channels:
            if channel:
                events.extend(channel.flush())
        return Processed(events, self.next_events)

    def _in_order(self, pieces: Sequence[AudioChunk | Gap]) -> list[SpeechEvent]:
        """Process pieces; order their events row by row, channel by channel."""
        events = [
            (_row(event, piece), piece.channel, event)
            for piece in self._crosstalk.filter(pieces)
            if (processor := self._channels[piece.channel])
            for event in processor.push(piece)
        ]
        return [event for *_, event in sorted(events, key=itemgetter(0, 1))]


def _row(event: SpeechEvent, piece: AudioChunk | Gap) -> int:
    """Return the row at whose end an event became known."""
    if isinstance(piece, Gap) or isinstance(event, Gap):
        return row_of(piece.start)
    return row_of(event.at - 1)


def _frame_end(sample: int) -> int:
    """Return the end of the frame that a sample is in, or stands at the end of."""
    return -(-sample // FRAME) * FRAME
