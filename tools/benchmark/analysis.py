"""What analysis costs, stage by stage: CPU time for each second of a conversation, all on one thread.

Each stage is the program's own part, driven over what the stage before it made of the recordings; below
them is the whole pipeline, whose cost beyond its stages is the work of tasks, threads and queues.
"""

import argparse
import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from streamer import events
from streamer.api import Engine
from streamer.audio import FRAME, AudioChunk, Samples, to_samples
from streamer.clock import VirtualClock
from streamer.control import Control
from streamer.runtime.classification import batch_deterministic
from streamer.sinks.fanout import EventBus
from streamer.sinks.jsonl import JsonlSink
from streamer.sources.recording.source import RecordingSource
from streamer.speech import SpeechEnded, SpeechEvent, SpeechUpdate
from streamer.speech.frames import FrameOrder
from streamer.speech.processor import ChannelProcessor, SpeechProcessor
from streamer.speech.registry import make_segmenter
from streamer.speech.segmenter import Segmenter
from streamer_models.classifier import Classifier
from streamer_models.contract import AudioStream
from streamer_models.memory import UtteranceEmbedding, Window
from streamer_models.tokenizer import TextEmbedder
from tools.benchmark import calls
from tools.benchmark.measuring import Case, alternate, print_costs, write_json

_CHUNK = 33 * FRAME
"""Samples delivered at a time, as a recording is at full speed: about a second."""

WHOLE = ("pipeline, audio only", "pipeline, words known")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    calls.add_data_option(parser)
    parser.add_argument("--rounds", type=int, default=9, help="calls of each case (default 9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    paths = calls.recordings(arguments.data)
    with calls.load_engine("none") as engine, calls.load_engine(calls.KNOWN) as talking:
        material = [_material(path, talking) for path in paths]
        seconds = sum(m.call.seconds for m in material)
        cases = [
            *_stages(material, engine, seconds),
            Case(WHOLE[0], lambda: _whole(paths, engine), seconds),
            Case(WHOLE[1], lambda: _whole(paths, talking), seconds),
        ]
        costs = alternate(cases, arguments.rounds)
    utterances = sum(len(m.ended) for m in material)
    channels = sum(m.call.samples.size for m in material) / sum(
        m.call.samples.shape[1] for m in material
    )
    title = f"Analysis of {seconds:.0f} s ({channels:.1f} channels, {utterances} utterances)"
    print_costs(title, "s of conversation", costs)
    results = {
        "seconds": seconds,
        "channels": channels,
        "utterances": utterances,
        "stages": costs[: -len(WHOLE)],
        "whole": costs[-len(WHOLE) :],
    }
    write_json(arguments.json, "analysis", results)


Use = Callable[[AudioStream], object]


class _Noted:
    """An audio stream that notes what is asked of it."""

    def __init__(self, new_stream: Callable[[], AudioStream]) -> None:
        self._stream = new_stream()
        self.look_back = self._stream.look_back
        self.uses: list[Use] = []

    def push(self, samples: Samples) -> None:
        self.uses.append(lambda stream: stream.push(samples))
        self._stream.push(samples)

    def estimate(self) -> torch.Tensor | None:
        self.uses.append(lambda stream: stream.estimate())
        return self._stream.estimate()

    def embedding(self, end: int | None = None) -> torch.Tensor:
        self.uses.append(lambda stream: stream.embedding(end))
        return self._stream.embedding(end)


@dataclass(frozen=True)
class _Material:
    """A recording, and what each stage hands to the next."""

    path: Path
    call: calls.Call
    heard: list[SpeechEvent]
    streams: list[list[Use]]
    """What was asked of the audio encoder, utterance by utterance."""
    events: list[events.Event]

    @property
    def ended(self) -> list[SpeechEnded]:
        return [heard for heard in self.heard if isinstance(heard, SpeechEnded)]


class _Kept(calls.Tally):
    """A sink that keeps the events."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[events.Event] = []

    async def emit(self, event: events.Event) -> None:
        self.events.append(event)


def _material(path: Path, engine: Engine) -> _Material:
    call = calls.read_call(path)
    streams: list[_Noted] = []
    new_stream = _audio_streams(engine)

    def noted() -> _Noted:
        streams.append(_Noted(new_stream))
        return streams[-1]

    interval = to_samples(engine.settings.emotion.estimate_interval)
    speech = SpeechProcessor(
        [
            ChannelProcessor(channel, segmenter, noted, interval)
            for channel, segmenter in enumerate(_segmenters(call, engine))
        ]
    )
    order = FrameOrder(len(call.samples), wait=True)
    for chunk in _chunks(call):
        order.push(chunk)
    heard = speech.finish(order.take(closed=True)).events
    kept = _Kept()
    clock = VirtualClock()
    asyncio.run(engine.run(RecordingSource(path, clock), [kept], clock))
    return _Material(path, call, heard, [stream.uses for stream in streams], kept.events)


def _chunks(call: calls.Call) -> list[AudioChunk]:
    """Return a call as the segmenters get it."""
    return [
        AudioChunk(channel, start, samples[start : start + _CHUNK])
        for start in range(0, call.samples.shape[1], _CHUNK)
        for channel, samples in enumerate(call.samples)
    ]


def _stages(material: Sequence[_Material], engine: Engine, seconds: float) -> list[Case]:
    new_stream, embedder = _audio_streams(engine), engine.bundle.text_embedder()
    assert embedder is not None  # noqa: S101 - the shipped bundle reads
    classifier = engine.bundle.classifier(engine.settings.emotion.threshold)
    stages: dict[str, Callable[[_Material, Engine], object]] = {
        "decoding": _decode,
        "voice detection": _segment,
        "LEAF and CNN": lambda m, _: _listen(m, new_stream),
        "text": lambda m, _: _embed_texts(m, embedder),
        "context and fusion": lambda m, _: _classify(m, classifier),
        "events": _emit,
    }

    def over_all(stage: Callable[[_Material, Engine], object]) -> Callable[[], object]:
        return lambda: [stage(m, engine) for m in material]

    return [
        Case(name, torch.inference_mode()(over_all(stage)), seconds)
        for name, stage in stages.items()
    ]


def _decode(material: _Material, _: Engine) -> None:
    calls.read_call(material.path)


def _segment(material: _Material, engine: Engine) -> None:
    segmenters = _segmenters(material.call, engine)
    for chunk in _chunks(material.call):
        deque(segmenters[chunk.channel].push(chunk), maxlen=0)
    for segmenter in segmenters:
        deque(segmenter.flush(), maxlen=0)


def _segmenters(call: calls.Call, engine: Engine) -> list[Segmenter]:
    settings = engine.settings.segmentation
    return [make_segmenter(settings, channel) for channel in range(len(call.channels))]


def _listen(material: _Material, new_stream: Callable[[], AudioStream]) -> None:
    for uses in material.streams:
        stream = new_stream()
        for use in uses:
            use(stream)


def _audio_streams(engine: Engine) -> Callable[[], AudioStream]:
    new_stream = engine.bundle.audio_streams()
    assert new_stream is not None  # noqa: S101 - without, the engine hears nothing
    return new_stream


def _embed_texts(material: _Material, embedder: TextEmbedder) -> None:
    for ended in material.ended:
        embedder([calls.words(len(ended.samples))])


def _classify(material: _Material, classifier: Classifier) -> None:
    """Classify each estimate, and each utterance twice: before its text is there, and with it, as a replay does."""
    state = classifier.new_state()
    waiting: list[Window] = []
    for heard in material.heard:
        match heard:
            case SpeechUpdate():
                waiting.append(
                    state.window_with(UtteranceEmbedding(heard.channel, audio=heard.embedding))
                )
            case SpeechEnded(embedding=embedding) if embedding is not None:
                number = state.add(UtteranceEmbedding(heard.channel, audio=embedding))
                batch_deterministic(classifier, [*waiting, state.window(number)])
                waiting.clear()
                state.set_text(number, embedding)  # any vector costs the same
                batch_deterministic(classifier, [state.window(number)])
            case _:
                pass
    batch_deterministic(classifier, waiting)


def _emit(material: _Material, _: Engine) -> None:
    asyncio.run(_emit_all(material.events))


async def _emit_all(given: Sequence[events.Event]) -> None:
    sinks = [JsonlSink(Path(os.devnull))]
    bus = EventBus("benchmark", VirtualClock(), sinks, Control(), wait=True)
    async with bus:
        for event in given:
            await bus.emit(type(event), **_fields(event))


def _fields(event: events.Event) -> dict[str, Any]:
    """Return what the conversation says of an event; the event bus adds the rest."""
    added = {"schema_", "session", "seq", "time"}
    return {name: value for name, value in event if name not in added}


def _whole(paths: Sequence[Path], engine: Engine) -> None:
    for path in paths:
        clock = VirtualClock()
        asyncio.run(calls.analyse(RecordingSource(path, clock), engine, clock))
