"""Synthetic conversations, and the pipeline run over them as the command line runs it."""

import asyncio
import json

import numpy as np

from streamer.api import Engine
from streamer.audio import SAMPLE_RATE, AudioChunk, Gap
from streamer.clock import VirtualClock
from streamer.settings import load as configuration
from streamer.sources import SourceInfo
from streamer.transcription.registry import NoTranscriber


def voice(seconds, seed=0, level=0.3):
    """Something that detectors take for speech: a buzz with formants and syllables."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 30))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * time)
    signal = buzz * syllables + 0.02 * rng.normal(size=len(time))
    return (level * signal / np.abs(signal).max()).astype(np.float32)


def silence(seconds):
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def two_speakers(seed=0):
    """Float32 [n, 2]: they take turns, and once speak at the same time."""
    first = [silence(0.7), voice(1.6, seed), silence(3.0), voice(2.2, seed + 1), silence(1.5)]
    second = [silence(3.2), voice(1.3, seed + 2), silence(1.2), voice(1.9, seed + 3), silence(2.0)]
    channels = [np.concatenate(first), np.concatenate(second)]
    length = max(map(len, channels))
    return np.stack([np.pad(c, (0, length - len(c))) for c in channels], axis=1)


class Played:
    """A source that delivers given audio in given chunks."""

    def __init__(self, signal, sizes=(1600,), *, failure=None):
        self._signal = signal
        self._sizes = sizes
        self._failure = failure
        names = tuple(f"channel{n + 1}" for n in range(signal.shape[1]))
        self.info = SourceInfo("played", names, live=False, session="played")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def __aiter__(self):
        start = turn = 0
        while start < len(self._signal):
            size = self._sizes[turn % len(self._sizes)]
            for channel in range(self._signal.shape[1]):
                piece = np.ascontiguousarray(self._signal[start : start + size, channel])
                yield AudioChunk(channel, start, piece)
            start, turn = start + size, turn + 1
            await asyncio.sleep(0)
        if self._failure:
            raise self._failure


class WithGap(Played):
    """The same with half a second of the first channel lost."""

    async def __aiter__(self):
        async for item in super().__aiter__():
            if item.channel == 0 and item.start == 24_000:
                yield Gap(0, 24_000, 32_000, "unplugged")
            elif item.channel != 0 or not 24_000 <= item.start < 32_000:
                yield item


class Kept:
    """A sink that keeps the events."""

    def __init__(self):
        self.events = []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def emit(self, event):
        self.events.append(event)


def engine_for(bundle, transcriber=None, *, ahead=True, **overrides):
    """An engine with a bundle and, unless another is given, no transcription."""
    from streamer_models.bundle import Bundle

    values = {
        "emotion.bundle": str(bundle),
        # made-up voices are a matter of taste to Silero
        "segmentation.detector": "webrtcvad",
    } | {k.replace("__", "."): v for k, v in overrides.items()}
    settings = configuration.load(environment={}, overrides=values)
    asr = settings.asr.model_copy(update={"ahead": ahead})
    settings = settings.model_copy(update={"asr": asr})
    return Engine.of(settings, Bundle.load(bundle), [transcriber or NoTranscriber()])


async def converse(source, engine, *, clock=None, control=None, sinks=()):
    """Run the pipeline; give its outcome and the events."""
    kept = Kept()
    clock = clock or VirtualClock()
    outcome = await engine.run(source, [kept, *sinks], clock, control=control)
    return outcome, kept.events


def comparable(events):
    """The events as JSON without what depends on the time of day and the machine's speed."""
    fields = [json.loads(event.to_json()) for event in events]
    for event in fields:
        event.pop("time")
        event.pop("latency_ms", None)
    return [json.dumps(event) for event in fields]


def check_promises(events):
    """What holds for the events of every session, whatever happened in it."""
    types = [event.type for event in events]
    assert [event.seq for event in events] == list(range(len(events)))
    assert types[0] == "session_started"
    assert types[-1] == "session_ended"
    assert types.count("session_ended") == 1
    started = [event.utterance for event in events if event.type == "speech_started"]
    ended = [event.utterance for event in events if event.type == "utterance"]
    assert sorted(started) == sorted(ended)
    assert len(set(started)) == len(started)
    assert events[-1].utterances == len(ended)
    assert events[-1].errors == types.count("error")
    assert events[-1].gaps == types.count("gap")
    for event in events:
        if event.type in ("speech_update", "utterance") and event.probabilities:
            assert abs(sum(event.probabilities.values()) - 1) < 1e-3
        if event.type == "utterance":
            assert event.start < event.end
