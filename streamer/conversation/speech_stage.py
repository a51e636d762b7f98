"""The audio of a conversation on its way to the worker that finds and embeds its speech."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from streamer.audio import AudioChunk, Gap, to_samples
from streamer.runtime.models import Runtime
from streamer.settings.tree import Settings
from streamer.speech import Effort, SpeechEvent
from streamer.speech.frames import FrameOrder
from streamer.speech.processor import ChannelProcessor, Processed, SpeechProcessor
from streamer.speech.registry import make_segmenter, make_voices, sound_detectors

if TYPE_CHECKING:
    from streamer.runtime.actors import Actor
    from streamer_models.contract import AudioStream


@dataclass(frozen=True, slots=True)
class Channel:
    """What is done with a channel."""

    name: str
    analysed: bool
    partial: bool
    """Whether its unfinished utterances are transcribed."""


class SpeechStage:
    """Buffers the audio of a conversation, and has it processed. A context manager.

    Entering it raises a `UserError` if something that the settings ask for is missing, or processing the first audio
    does, where the worker is a process.

    Args:
        runtime: has the workers.
        settings: of the analysis.
        channels: what is done with each.
        live: whether audio cannot wait.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings, channels: Sequence[Channel], *, live: bool
    ) -> None:
        self._runtime = runtime
        self._make = partial(_make_processor, settings, channels)
        self._order = FrameOrder(len(channels), wait=not live)
        self._next_events = [0] * len(channels)
        self._begun = False
        self._processor: Actor[SpeechProcessor]

    def __enter__(self) -> Self:
        self._processor = self._runtime.start_actor(self._make)
        return self

    def __exit__(self, *exc: object) -> None:
        self._processor.stop()

    def push(self, item: AudioChunk | Gap) -> None:
        """Buffer audio of one channel, or its loss."""
        self._order.push(item)

    @property
    def due(self) -> bool:
        """Whether an event is possible in what is buffered."""
        return self._order.is_due(self._next_events)

    async def process(self, effort: Effort) -> list[SpeechEvent]:
        """Process what is buffered and complete."""
        self._begun = True
        processed = await self._processor.call(_process, self._order.take(), effort)
        self._next_events = processed.next_events
        return processed.events

    async def finish(self) -> list[SpeechEvent]:
        """Process the rest at the end of the audio, and end all utterances."""
        rest = self._order.take(closed=True)
        if not rest and not self._begun:
            return []
        processed = await self._processor.call(SpeechProcessor.finish, rest)
        return processed.events


def _make_processor(
    settings: Settings, channels: Sequence[Channel], new_stream: "Callable[[], AudioStream]"
) -> SpeechProcessor:
    """Make what processes the channels that are analysed.

    Raises:
        UserError: if something that the settings ask for is missing.
    """
    interval = to_samples(settings.emotion.estimate_interval)
    several = settings.speakers.several(len(channels))
    new_sounds = sound_detectors(settings.sounds)

    def processor(number: int, channel: Channel) -> ChannelProcessor:
        voices = make_voices(settings.speakers, channel.name) if several else None
        return ChannelProcessor(
            number,
            make_segmenter(settings.segmentation, number, voices),
            new_stream,
            interval,
            partial=channel.partial,
            sounds=new_sounds(number),
        )

    return SpeechProcessor(
        [
            processor(number, channel) if channel.analysed else None
            for number, channel in enumerate(channels)
        ]
    )


def _process(
    processor: SpeechProcessor, pieces: Sequence[AudioChunk | Gap], effort: Effort
) -> Processed:
    processor.set_effort(effort)
    return processor.process(pieces)
