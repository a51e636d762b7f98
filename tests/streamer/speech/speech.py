"""Made-up audio for the state machine, and a detector without a model."""

from itertools import cycle

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk
from streamer.speech import SpeechEnded, SpeechStarted
from streamer.speech.frames import FrameOrder
from streamer.speech.processor import SpeechProcessor


class PeakDetector:
    """Takes a frame's peak for the probability of speech."""

    delay = 0

    def __init__(self):
        self.resets = 0

    def __call__(self, frames):
        assert frames.shape[1:] == (480,)
        assert frames.dtype == np.float32
        return np.minimum(1.0, np.abs(frames).max(axis=1, initial=0.0)).tolist()

    def reset(self):
        self.resets += 1


class Buffered:
    """A processor behind its buffer, as a conversation has them."""

    def __init__(self, channels, *, wait):
        self._order = FrameOrder(len(channels), wait=wait)
        self.push = self._order.push
        self._processor = SpeechProcessor(channels)
        self.set_effort = self._processor.set_effort

    @property
    def due(self):
        return self._order.is_due(self._processor.next_events)

    def process(self):
        return self._processor.process(self._order.take()).events

    def finish(self):
        return self._processor.finish(self._order.take(closed=True)).events


def audio(*parts):
    """Alternating-sign samples: (seconds, peak), one after another, no two samples of the same size."""
    pieces = [np.full(round(seconds * SAMPLE_RATE), peak) for seconds, peak in parts]
    samples = np.concatenate(pieces)
    samples *= 1.0 - 1e-4 * np.linspace(0, 1, len(samples))
    samples[1::2] *= -1.0
    return samples.astype(np.float32)


def chunks(samples, sizes, *, channel=0, start=0):
    """The samples cut to the sizes, over and over."""
    position = 0
    for size in cycle(sizes):
        if position >= len(samples):
            return
        yield AudioChunk(channel, start + position, samples[position : position + size])
        position += size


def listen(segmenter, samples, sizes=(1600,), *, start=0):
    """All events of the audio, its end included."""
    events = []
    for chunk in chunks(samples, sizes, start=start):
        events.extend(segmenter.push(chunk))
    events.extend(segmenter.flush())
    return events


def plain(events):
    """Events in a form that can be compared."""
    return [
        (type(event).__name__, *(comparable(getattr(event, name)) for name in event.__slots__))
        for event in events
    ]


def comparable(value):
    return value.tobytes() if isinstance(value, np.ndarray) else value


def names(events):
    return [type(event).__name__.removeprefix("Speech") for event in events]


def utterances(events):
    return [event for event in events if isinstance(event, SpeechEnded)]


def check_lifecycle(events, samples, settings, *, start=0):
    """What holds of every sequence of events."""
    open_start = None
    free, now = start, start
    for event in events:
        assert now <= event.at <= start + len(samples)
        now = event.at
        if isinstance(event, SpeechStarted):
            assert open_start is None
            assert event.start >= free
            open_start = event.start
        assert event.start == open_start
        if isinstance(event, SpeechEnded):
            assert open_start < event.voice_end <= event.end <= event.at
            assert event.end - event.start <= settings.max_utterance * SAMPLE_RATE
            np.testing.assert_array_equal(
                event.samples, samples[event.start - start : event.end - start]
            )
            free, open_start = event.end, None
    assert open_start is None
