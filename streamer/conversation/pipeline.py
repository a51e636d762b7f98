"""One conversation, from its source to its sinks, as one group of tasks.

    source -> buffer -> SourceReader -> jobs, in the order of audio time -> Conversation -> EventBus -> sinks

A replay does its jobs one after the other, so its events come in the order of audio time, and its source waits when
analysis is behind. Live, whatever is ready goes out.
"""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from streamer.audio import to_seconds
from streamer.clock import Clock, VirtualClock
from streamer.control import Control, LiveStatus
from streamer.conversation.buffer import LiveBuffer, read_until_stopped
from streamer.conversation.conversation import Conversation
from streamer.conversation.live import live_tasks
from streamer.conversation.load import LoadPolicy
from streamer.conversation.outgoing import Outgoing, Privacy
from streamer.conversation.reader import SourceReader
from streamer.conversation.speech_stage import Channel, SpeechStage
from streamer.conversation.statistics import Statistics
from streamer.conversation.turns import Turns
from streamer.conversation.video import VideoFeatures, read_video
from streamer.errors import UserError
from streamer.runtime.models import Runtime
from streamer.settings.tree import Settings
from streamer.sinks import Sink
from streamer.sinks.fanout import EventBus
from streamer.sources import AudioSource, SourceInfo
from streamer.speech import Effort
from streamer.transcription.ahead import Transcripts

log = logging.getLogger(__name__)

OPENING = 1.0
"""Seconds that opening the source may still take once the conversation has been stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a conversation."""

    session: str
    reason: str
    """finished, failed, or the reason of the stop: interrupted, terminated."""
    utterances: int
    gaps: int
    errors: int
    lost_sinks: tuple[str, ...] = ()
    """Outputs that failed: they lack events."""


async def run(
    source: AudioSource,
    runtime: Runtime,
    settings: Settings,
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
        runtime: the models.
        settings: of the analysis.
        sinks: where the events go; entered here.
        clock: the time of the events, which the source keeps to.
        session: the id of the session; None for the source's own.
        control: stops the conversation properly; pauses and marks a live one.
        status: where a live conversation shows how it is doing.

    Raises:
        UserError: if the source or a sink cannot be opened; no event has been emitted then.
    """
    control, status = control or Control(), status or LiveStatus()
    async with AsyncExitStack() as stack:
        if not await _opened(source, stack, control):
            return Outcome(session or "", control.stopped or "finished", 0, 0, 0)
        info = source.info
        privacy = Privacy(settings.privacy, info)
        video = _video(settings, runtime)
        speech = stack.enter_context(_speech_stage(info, runtime, settings, privacy))
        policy = LoadPolicy(settings.live.max_lag, status) if info.live else LoadPolicy()
        statistics = Statistics(settings.alerts.rules)
        bus = EventBus(
            session or info.session,
            clock,
            sinks,
            control,
            wait=not info.live,
            follow=statistics.take,
        )
        async with bus:
            half_life = settings.emotion.mood_half_life
            outgoing = Outgoing(bus, info, privacy, statistics, mood_half_life=half_life)
            await outgoing.session_started(runtime.bundle, runtime.asr.name)
            ahead = settings.asr.ahead and not isinstance(clock, VirtualClock)
            transcripts = Transcripts(
                runtime.asr,
                clock,
                control,
                ahead=ahead,
                live=info.live,
                counts=status.transcripts,
            )
            turns = Turns(runtime, live=info.live, video=video)
            conversation = Conversation(turns, transcripts, outgoing, policy, clock)
            audio = (
                LiveBuffer(source, clock, control, status, policy)
                if info.live
                else read_until_stopped(source, control)
            )
            reader = SourceReader(audio, runtime, speech, transcripts, outgoing, policy, control)
            beside = live_tasks(control, status, outgoing) if info.live else []
            reason = await _converse(reader, conversation, outgoing, beside)
            await outgoing.session_ended(to_seconds(reader.position), reason)
    return Outcome(
        bus.session,
        reason,
        outgoing.utterances,
        outgoing.gaps,
        bus.errors,
        lost_sinks=tuple(bus.lost),
    )


async def check(runtime: Runtime, settings: Settings) -> None:
    """See that what processes audio can be made, and have every worker load what that needs.

    Raises:
        UserError: if something that the settings ask for is missing.
    """
    channels = [Channel("", analysed=True, partial=False)]
    with ExitStack() as stack:
        stages = [
            stack.enter_context(SpeechStage(runtime, settings, channels, live=True))
            for _ in range(settings.usable_cores)
        ]
        await asyncio.gather(*(stage.process(Effort.ALL) for stage in stages))


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


def _speech_stage(
    info: SourceInfo, runtime: Runtime, settings: Settings, privacy: Privacy
) -> SpeechStage:
    transcribed = settings.asr.partial and runtime.transcribes
    channels = [
        Channel(name, privacy.analyses(number), transcribed and privacy.reports_text(number))
        for number, name in enumerate(info.channels)
    ]
    return SpeechStage(runtime, settings, channels, live=info.live)


def _video(settings: Settings, runtime: Runtime) -> VideoFeatures | None:
    """Read the features of the recording's video, if the settings name any."""
    if settings.emotion.video is None:
        return None
    size = getattr(runtime.bundle.model.config, "video", 0)
    return read_video(Path(settings.emotion.video), size)


async def _converse(
    reader: SourceReader,
    conversation: Conversation,
    outgoing: Outgoing,
    beside: Sequence[Coroutine[Any, Any, None]],
) -> str:
    """Read and analyse to the end; return the reason of the end.

    Args:
        reader: delivers the jobs.
        conversation: does them.
        outgoing: takes messages about failures.
        beside: further tasks of a live conversation, cancelled at its end; none for a recording.
    """
    reason = "failed"
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(reader.read(), name="read")
            for coroutine in beside:
                task = group.create_task(coroutine)
                reading.add_done_callback(partial(_cancel, task))
            async for jobs in reader.jobs.several():
                await outgoing.sink_errors()
                if not beside:
                    await conversation.take(jobs)
                    continue
                for job in jobs:
                    await conversation.take_live(job, group)
        reason = reading.result()
        if reader.damage:
            await outgoing.error("source", reader.damage)
    except* Exception as failures:
        # A defect of ours, or a model that cannot be loaded: on the wire as well, and the session ends as promised.
        log.debug("the conversation broke off", exc_info=failures)
        said = (str(e) if isinstance(e, UserError) else repr(e) for e in failures.exceptions)
        await outgoing.error("pipeline", "; ".join(said))
    await outgoing.sink_errors()
    return reason


def _cancel(task: "asyncio.Task[None]", _: object) -> None:
    task.cancel()
