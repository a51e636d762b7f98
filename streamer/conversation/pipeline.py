"""One conversation, from its source to its sinks, as one group of tasks.

    source -> listen (ear) -> jobs, in the order of audio time -> analyse (Conversation) -> outlet -> sinks

A replay does its jobs one after the other, so its events come in the order of audio time, and its
source waits when analysis is behind. Live, whatever is ready goes out.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from streamer import __version__, events
from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples, to_seconds
from streamer.clock import Clock, Stopwatch, VirtualClock
from streamer.control import Control, LiveStatus
from streamer.conversation.buffer import LiveBuffer, read_until_stopped
from streamer.conversation.load import LoadPolicy
from streamer.conversation.statistics import Statistics
from streamer.conversation.turns import Conversation, Job
from streamer.errors import SourceError, UserError
from streamer.runtime.engine import Engine, Transcription
from streamer.runtime.queues import BoundedQueue
from streamer.sinks import Sink
from streamer.sinks.fanout import EventBus
from streamer.sources import AudioSource, SourceInfo
from streamer.speech import SpeechEnded, SpeechEvent, SpeechPaused, SpeechResumed
from streamer.speech.processor import SpeechProcessor

log = logging.getLogger(__name__)

READ_AHEAD = 60.0
"""Seconds of speech that a replay may be ahead of its analysis."""
_TICK = 0.5
"""Seconds between looks at how long nobody has spoken."""
_CONFIRMED = 1.0
"""Seconds after which speech is confirmed, if there is any."""

OPENING = 1.0
"""Seconds that opening the source may still take once the conversation has been stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a conversation went."""

    session: str
    reason: str
    """finished, failed, or what the stop said: interrupted, terminated."""
    utterances: int
    gaps: int
    errors: int
    lost_sinks: tuple[str, ...] = ()
    """Outputs that failed: they lack events."""


async def run(
    source: AudioSource,
    engine: Engine,
    sinks: Sequence[Sink],
    clock: Clock,
    *,
    session: str | None = None,
    control: Control | None = None,
    status: LiveStatus | None = None,
) -> Outcome:
    """Analyse one conversation until its source ends.

    Args:
        source: where the audio comes from; entered here.
        engine: the models.
        sinks: where the events go; entered here.
        clock: the time of the events, and what the source keeps to.
        session: the session's id; None for the source's own.
        control: stops the conversation properly; pauses and marks a live one.
        status: where a live conversation shows how it is doing.

    Raises:
        UserError: if the source or a sink cannot be opened; no event has been emitted then.
    """
    control = control or Control()
    async with AsyncExitStack() as stack:
        if not await _opened(source, stack, control):
            return Outcome(session or "", control.stopped or "finished", 0, 0, 0)
        _check_modes(source.info, engine)
        status = status or LiveStatus()
        statistics = Statistics(engine.settings.alerts.rules)
        outlet = EventBus(
            session or source.info.session,
            clock,
            sinks,
            control,
            limit=engine.settings.sinks.queue,
            wait=not source.info.live,
            follow=statistics.take,
        )
        policy = (
            LoadPolicy(engine.settings.live.max_lag, status) if source.info.live else LoadPolicy()
        )
        async with outlet:
            outcome = await _converse(
                source, engine, outlet, statistics, clock, control, status, policy
            )
    return replace(outcome, lost_sinks=tuple(outlet.lost))


async def _opened(source: AudioSource, stack: AsyncExitStack, control: Control) -> bool:
    """Enter the source; return False if the conversation is stopped while that waits for its first bytes."""
    loop = asyncio.get_running_loop()
    entering = asyncio.ensure_future(stack.enter_async_context(source))

    def stop() -> None:
        loop.call_later(OPENING, entering.cancel)  # which does nothing once it is done

    with control.on_stop(stop):
        try:
            await entering
        except asyncio.CancelledError:
            if control.stopped is None:
                raise
            return False
    return True


async def _converse(
    source: AudioSource,
    engine: Engine,
    outlet: EventBus,
    statistics: Statistics,
    clock: Clock,
    control: Control,
    status: LiveStatus,
    policy: LoadPolicy,
) -> Outcome:
    info = source.info
    speech = engine.processor(info)
    await outlet.emit(
        events.SessionStarted,
        source=info.name,
        channels=list(info.channels),
        model=events.Model(name=engine.bundle.name, version=engine.bundle.version),
        labels=list(engine.bundle.model.labels),
        asr=engine.asr,
        streamer_version=__version__,
        notes=list(info.notes),
    )
    for note in info.notes:
        log.warning("%s: %s", info.name, note)
    virtual = isinstance(clock, VirtualClock)
    conversation = Conversation(info, engine, outlet, clock, control, policy)
    audio = (
        LiveBuffer(source, clock, control, status, policy)
        if info.live
        else read_until_stopped(source, control)
    )
    ear = _Ear(audio, engine, speech, outlet, control, policy, ahead=not virtual)
    reason = "failed"
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(ear.read(), name="ear")
            if info.live:
                for answer in (
                    _mark(control, status, outlet),
                    _summarize(control, status, outlet, statistics),
                    _watch_silence(status, outlet, statistics),
                ):
                    answering = group.create_task(answer)
                    reading.add_done_callback(partial(_cancel, answering))
            async for jobs in ear.jobs.several():
                await outlet.emit_reports()
                if not info.live:
                    await conversation.take(jobs)
                    continue
                for job in jobs:
                    await conversation.take_live(job, group)
        reason = reading.result()
        if ear.damage:
            await outlet.error("source", ear.damage)
    except* Exception as failures:
        # A defect of ours: say so on the wire as well, and end the session as promised.
        log.debug("the conversation broke off", exc_info=failures)
        await outlet.error("pipeline", "; ".join(repr(error) for error in failures.exceptions))
    await outlet.emit_reports()
    duration = to_seconds(ear.position)
    await _advance(duration, outlet, statistics)
    await outlet.emit(events.Summary, **statistics.summary())
    await outlet.emit(
        events.SessionEnded,
        duration=duration,
        utterances=conversation.utterances,
        gaps=conversation.gaps,
        errors=outlet.errors,
        reason=reason,
    )
    return Outcome(
        outlet.session, reason, conversation.utterances, conversation.gaps, outlet.errors
    )


async def _mark(control: Control, status: LiveStatus, outlet: EventBus) -> None:
    """Report the moments that are marked."""
    while True:
        label = await control.marks.get()
        await outlet.emit(events.Mark, at=to_seconds(status.position), label=label)


async def _summarize(
    control: Control, status: LiveStatus, outlet: EventBus, statistics: Statistics
) -> None:
    """Emit a summary whenever one is asked for."""
    while True:
        await control.summaries.get()
        await _advance(to_seconds(status.position), outlet, statistics)
        await outlet.emit(events.Summary, **statistics.summary())


async def _watch_silence(status: LiveStatus, outlet: EventBus, statistics: Statistics) -> None:
    """Raise alerts about silence while it lasts."""
    while True:
        await asyncio.sleep(_TICK)
        position = to_seconds(status.position) - status.lag - _CONFIRMED
        await _advance(max(0.0, position), outlet, statistics)


async def _advance(position: float, outlet: EventBus, statistics: Statistics) -> None:
    for alert in statistics.advance(position):
        await outlet.emit(events.Alert, **alert)


def _cancel(task: "asyncio.Task[None]", _: object) -> None:
    task.cancel()


class _Ear:
    """Reads the source, lets the listener hear it, and begins transcriptions."""

    def __init__(
        self,
        audio: AsyncIterable[Sequence[AudioChunk | Gap]],
        engine: Engine,
        speech: SpeechProcessor,
        outlet: EventBus,
        control: Control,
        policy: LoadPolicy,
        *,
        ahead: bool,
    ) -> None:
        self._audio = audio
        self._engine = engine
        self._speech = speech
        self._outlet = outlet
        self._control = control
        self._policy = policy
        self._ahead = ahead and engine.settings.asr.ahead
        self._begun: dict[int, tuple[int, Transcription]] = {}
        self._origins: dict[int, float] = {}
        """When each channel's time 0 was, by the clock, as far as its audio tells."""
        self.jobs = BoundedQueue[Job](READ_AHEAD)
        self.position = 0
        self.damage = ""

    async def read(self) -> str:
        """Read to the end; tell why it ended."""
        reason = "finished"
        try:
            try:
                async for items in self._audio:
                    await self._hear(items)
            except SourceError as error:
                self.damage = str(error)
                reason = "failed"
            if self._control.stopped:
                reason = self._control.stopped
            await self._pass_on(await self._engine.process(self._speech, last=True))
        finally:
            self.jobs.close()
        return reason

    async def _hear(self, items: Sequence[AudioChunk | Gap]) -> None:
        for item in items:
            self.position = max(self.position, item.end)
            if isinstance(item, AudioChunk) and item.captured is not None:
                self._origins[item.channel] = item.captured - item.end / SAMPLE_RATE
            self._speech.push(item)
        self._speech.set_updating(updating=self._policy.estimates)
        if message := self._policy.escalation():
            await self._outlet.error("live", message)
        if self._speech.due:
            await self._pass_on(await self._engine.process(self._speech))

    async def _pass_on(self, speech_events: Sequence[SpeechEvent]) -> None:
        for event in speech_events:
            transcription = self._transcription(event)
            seconds, spoken = 0.0, None
            if isinstance(event, SpeechEnded):
                seconds = len(event.samples) / SAMPLE_RATE
                if event.channel in self._origins:
                    spoken = self._origins[event.channel] + event.voice_end / SAMPLE_RATE
            await self.jobs.put(Job(event, transcription, Stopwatch(), spoken), seconds)

    def _transcription(self, event: SpeechEvent) -> Transcription | None:
        """Begin to transcribe at a pause; return what was begun when the utterance ends there."""
        match event:
            case SpeechPaused(channel=channel, end=end, samples=samples) if self._ahead:
                self._forget(channel)
                if begun := self._begin(samples):
                    self._begun[channel] = (end, begun)
            case SpeechResumed(channel=channel):
                self._forget(channel)
            case SpeechEnded(channel=channel, end=end, samples=samples):
                begun_end, ahead = self._begun.pop(channel, (-1, None))
                if ahead and begun_end == end:
                    return ahead
                if ahead:
                    ahead.cancel()
                return self._begin(samples)
            case _:
                pass
        return None

    def _begin(self, samples: Samples) -> Transcription | None:
        if not (self._engine.transcribes and self._policy.transcribes):
            return None
        return self._engine.transcribe(samples)

    def _forget(self, channel: int) -> None:
        _, begun = self._begun.pop(channel, (0, None))
        if begun:
            begun.cancel()


def _check_modes(info: SourceInfo, engine: Engine) -> None:
    """A channel that must not be analysed, but is not found, would be analysed under another name."""
    for name, mode in engine.settings.privacy.channels.items():
        if mode != "analyse" and name not in info.channels:
            raise UserError(
                f"{info.name}: privacy.channels says {name}: {mode}, but the channels are "
                f"{', '.join(info.channels)}; name them with --channels"
            )
