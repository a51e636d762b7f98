"""The Python API, and the only place that puts sources, models, conversations and sinks together.

The commands, the server, the tools and other programs go through it. It leaves process-wide state alone: threads of
torch, signals, logging and garbage collection belong to the program.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from streamer.clock import Clock, VirtualClock, WallClock
from streamer.control import Control, LiveStatus
from streamer.conversation import pipeline
from streamer.conversation.pipeline import Outcome
from streamer.events import Event
from streamer.loading import load_bundle, start_processes
from streamer.registry import SINKS, SOURCES, Plugin, SinkContext, SourceContext, source_name
from streamer.runtime.models import Runtime
from streamer.runtime.terms import terms_at_first_use
from streamer.settings.load import load as load_settings
from streamer.settings.tree import Audio, Settings
from streamer.sinks import Sink
from streamer.sources import AudioSource

if TYPE_CHECKING:
    from streamer.runtime.actors import Workers
    from streamer.transcription import Transcriber
    from streamer_models.bundle import Bundle

log = logging.getLogger(__name__)

_AHEAD = 100
"""Events that a conversation may be ahead of the program that iterates over them."""


async def analyze(
    source: str | os.PathLike[str] | AudioSource,
    *,
    channels: Sequence[str] = (),
    speed: float | None = None,
    settings: Settings | None = None,
    engine: "Engine | None" = None,
    session: str | None = None,
    control: Control | None = None,
    **options: Any,
) -> AsyncGenerator[Event, None]:
    """Analyse a recording, or any other source, and yield its events.

    Leaving the iteration early ends the conversation.

    Args:
        source: A file, `-` for standard input, `NAME://...` for a registered source, or a source of your own.
        channels: Names of the speakers, one for each channel; empty: as in the settings, else made up.
        speed: Seconds of a recording for each second; None: as fast as the machine can, on the time of the audio.
        settings: All settings; None: those of the environment. Not beside `engine`.
        engine: Loaded models, to share them among conversations; None: loaded for this one.
        session: The id of the session; None: the source's own.
        control: Stops the conversation properly; pauses and marks a live one.
        options: Of the source, by the names of its command-line options: `rate=8000`, `format="mulaw"`, ...

    Raises:
        UserError: If a model or the source cannot be opened; no event has been yielded then.
    """
    clock: Clock = VirtualClock() if speed is None else WallClock()
    async with _loaded(engine, settings) as used:
        context = SourceContext(_audio(used, channels), clock, speed=speed or 1.0)
        audio = _source_of(source, context, options)
        async with aclosing(
            used.events(audio, (), clock, session=session, control=control)
        ) as found:
            async for event in found:
                yield event


async def listen(
    *devices: str,
    channels: Sequence[str] = (),
    settings: Settings | None = None,
    engine: "Engine | None" = None,
    session: str | None = None,
    control: Control | None = None,
    status: LiveStatus | None = None,
    wait: bool = False,
) -> AsyncGenerator[Event, None]:
    """Analyse what microphones record, and yield the events until the conversation is stopped.

    Leaving the iteration early ends the conversation.

    Args:
        devices: Microphones, by index or part of the name, each a speaker; none: the default one.
        channels: Names of the speakers; empty: as in the settings, else made up.
        settings: All settings; None: those of the environment. Not beside `engine`.
        engine: Loaded models, to share them among conversations; None: loaded for this one.
        session: The id of the session; None: made of the time.
        control: Stops, pauses and marks the conversation; may bound its duration.
        status: Where the conversation shows its lag and levels.
        wait: If a microphone is not there, wait for it.

    Raises:
        UserError: If a model or a microphone cannot be opened; no event has been yielded then.
    """
    clock = WallClock()
    async with _loaded(engine, settings) as used:
        context = SourceContext(_audio(used, channels), clock, live=True)
        options = {"device": list(devices), "wait": wait}
        audio = make_source("", context, options, default="microphone")
        found = used.events(audio, (), clock, session=session, control=control, status=status)
        async with aclosing(found):
            async for event in found:
                yield event


def make_source(
    target: str, context: SourceContext, options: Mapping[str, Any], default: str = "recording"
) -> AudioSource:
    """Make the source of a name.

    Args:
        target: `-` for standard input, `NAME://...` for the source of that name, else `default`'s.
        context: What it is made with.
        options: Of the sources, by `Option.name`; those of others are ignored, those left out have their defaults.
        default: The source of all other targets.

    Raises:
        UserError: If there is no such source, or the options do not fit.
    """
    plugin: Plugin = SOURCES.find(source_name(target, default))
    made: AudioSource = plugin.make(target, context=context, **plugin.chosen(options))
    return made


def make_sinks(
    context: SinkContext, options: Mapping[str, Any], command: str | None = None
) -> list[Sink]:
    """Make the sinks that the options or the settings ask for.

    Args:
        context: What they are made with.
        options: Of the sinks, by `Option.name`; those of others are ignored, those left out have their defaults.
        command: Only sinks that this command offers; None: all.

    Raises:
        UserError: If a sink cannot be used as asked for.
    """
    made = [
        plugin.make(context=context, **plugin.chosen(options))
        for _, plugin in SINKS.items()
        if command is None or command in plugin.commands
    ]
    return [sink for sink in made if sink is not None]


@dataclass(frozen=True, slots=True)
class Engine:
    """Models and worker pools that analyse conversations. A context manager; leaving it ends the workers."""

    settings: Settings
    runtime: Runtime

    @classmethod
    def of(
        cls,
        settings: Settings,
        bundle: "Bundle",
        transcribers: "Sequence[Transcriber]",
        audio: "Workers | None" = None,
    ) -> Self:
        """Start the workers of loaded models; `audio` are those of its audio pool, if it is not to be threads."""
        runtime = Runtime(
            bundle,
            transcribers,
            cores=settings.usable_cores,
            threshold=settings.emotion.threshold,
            language=settings.asr.spoken,
            audio=audio,
        )
        return cls(settings, runtime)

    @classmethod
    def load(
        cls,
        settings: Settings,
        notify: Callable[[str], None] = log.warning,
        *,
        processes: bool = False,
    ) -> Self:
        """Load the models that the settings name.

        Args:
            settings: All settings.
            notify: Takes a line for the user: the terms of a model at its first use, or that one had to be
                replaced by a lesser one.
            processes: Whether the audio of many conversations is processed in processes, one for each core: they
                do not wait for each other, as threads do, but each has models of its own in memory. What they lack
                is reported by an `error` event at the first audio.

        Raises:
            UserError: If a model cannot be loaded.
        """
        from streamer.transcription.registry import make_transcriber
        from streamer_models.sound_network import SOUNDS

        with contextlib.ExitStack() as stack:
            audio = start_processes(settings, stack) if processes else None
            bundle = load_bundle(settings)
            sounds = (SOUNDS,) if settings.sounds.detect else ()
            for terms in terms_at_first_use(bundle, *sounds):
                notify(terms)
            made = [
                make_transcriber(settings.asr, settings.usable_cores)
                for _ in range(settings.asr.parallel)
            ]
            if made[0][1]:
                notify(made[0][1])
            if audio:
                audio.wait()
            stack.pop_all()
        return cls.of(settings, bundle, [transcriber for transcriber, _ in made], audio)

    async def run(
        self,
        source: AudioSource,
        sinks: Sequence[Sink],
        clock: Clock | None = None,
        *,
        session: str | None = None,
        control: Control | None = None,
        status: LiveStatus | None = None,
    ) -> Outcome:
        """Analyse one conversation; see `pipeline.run`.

        Raises:
            UserError: If the source or a sink cannot be opened; no event has been emitted then.
        """
        return await pipeline.run(
            source,
            self.runtime,
            self.settings,
            sinks,
            clock or WallClock(),
            session=session,
            control=control,
            status=status,
        )

    async def events(
        self,
        source: AudioSource,
        sinks: Sequence[Sink] = (),
        clock: Clock | None = None,
        *,
        session: str | None = None,
        control: Control | None = None,
        status: LiveStatus | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Analyse one conversation and yield its events; leaving the iteration early ends it.

        Raises:
            UserError: If the source or a sink cannot be opened; no event has been yielded then.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_AHEAD)
        running = asyncio.create_task(
            self.run(
                source,
                [*sinks, _Handing(queue)],
                clock,
                session=session,
                control=control,
                status=status,
            )
        )
        running.add_done_callback(lambda _: _end(queue))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @property
    def bundle(self) -> "Bundle":
        """The emotion model."""
        return self.runtime.bundle

    def __enter__(self) -> Self:
        self.runtime.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.runtime.__exit__(*exc)


class _Handing(Sink):
    """Hands events to the program that iterates over them."""

    def __init__(self, queue: "asyncio.Queue[Event | None]") -> None:
        self._queue = queue

    async def emit(self, event: Event) -> None:
        """See `Sink.emit`: waits while the program is busy with earlier ones."""
        await self._queue.put(event)


def _end(queue: "asyncio.Queue[Event | None]") -> None:
    """Let the iteration end after the events that wait."""
    try:
        queue.put_nowait(None)
    except asyncio.QueueFull:
        asyncio.ensure_future(queue.put(None))  # noqa: RUF006 - it waits for the program, or goes with it


@contextlib.asynccontextmanager
async def _loaded(engine: Engine | None, settings: Settings | None) -> AsyncIterator[Engine]:
    """Yield the engine that was given, or one that lasts as long as this context."""
    if engine is not None:
        if settings is not None:
            raise TypeError("an engine has its own settings: give one or the other")
        yield engine
        return
    with await asyncio.to_thread(Engine.load, settings or load_settings()) as own:
        yield own


def _audio(engine: Engine, channels: Sequence[str]) -> Audio:
    audio = engine.settings.audio
    if not channels:
        return audio
    return Audio.model_validate(audio.model_dump() | {"channels": tuple(channels)})


def _source_of(
    source: str | os.PathLike[str] | AudioSource, context: SourceContext, options: Mapping[str, Any]
) -> AudioSource:
    if not isinstance(source, str | os.PathLike):
        if options:
            raise TypeError(f"options of no known source: {', '.join(options)}")
        return source
    known = {option.name for _, plugin in SOURCES.items() for option in plugin.options}
    if unknown := options.keys() - known:
        raise TypeError(f"no such option of a source: {', '.join(sorted(unknown))}")
    return make_source(os.fspath(source), context, options)
