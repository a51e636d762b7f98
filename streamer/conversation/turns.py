"""What is made of the things heard: judgements in context, moods, and their events."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer import events
from streamer.audio import SAMPLE_RATE, Gap, to_seconds
from streamer.clock import Clock, Stopwatch, VirtualClock
from streamer.control import Control
from streamer.conversation.deadline import Patience
from streamer.conversation.load import LoadPolicy
from streamer.conversation.mood import MoodTracker
from streamer.conversation.overlap import Overlap
from streamer.runtime.engine import Engine, Transcription
from streamer.sinks.fanout import EventBus
from streamer.sources import SourceInfo
from streamer.speech import SpeechEnded, SpeechEvent, SpeechStarted, SpeechUpdate
from streamer.speech.acoustics import words_per_minute
from streamer.transcription import Transcript

if TYPE_CHECKING:
    from torch import Tensor

    from streamer_models.classifier import Prediction
    from streamer_models.memory import Window

PATIENCE = 1.0
"""Seconds that transcriptions may still take, all in all, once the conversation has been told to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something heard, to be analysed."""

    event: SpeechEvent
    transcription: Transcription | None
    """Begun already, for an utterance that ended."""
    watch: Stopwatch
    """SpeechStarted when it was heard."""
    spoken: float | None = None
    """Seconds of the clock at which the speech of a live utterance ended."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A job that has been begun."""

    job: Job
    number: int | None
    """Of the utterance, if it ended."""
    judgement: "asyncio.Future[Prediction] | None"
    """Of what was heard of it."""
    overlap: float = 0.0
    """Seconds of the utterance during which another channel spoke."""

    def cancel(self) -> None:
        if self.judgement:
            self.judgement.cancel()


class Conversation:
    """Turns what was heard into events.

    Args:
        info: the source.
        engine: the models.
        outlet: where the events leave.
        clock: if it is virtual, waiting means nothing, and latencies are the work's alone.
        control: tells when the conversation is to end soon.
        policy: what is shed when analysis is behind.
    """

    def __init__(
        self,
        info: SourceInfo,
        engine: Engine,
        outlet: EventBus,
        clock: Clock,
        control: Control,
        policy: LoadPolicy,
    ) -> None:
        self._info = info
        self._engine = engine
        self._outlet = outlet
        self._control = control
        self._patience = Patience(PATIENCE)
        """With transcripts, once told to stop."""
        self._clock = clock
        self._policy = policy
        self._state = engine.new_state()
        self._estimating: dict[int, asyncio.Task[None]] = {}
        """The last estimate of each channel's utterance, on its way, if it is live."""
        modes = engine.settings.privacy.channels
        self._silent = {i for i, name in enumerate(info.channels) if modes.get(name) == "context"}
        half_life = engine.settings.emotion.mood_half_life
        self._overlap = Overlap()
        self._moods = [MoodTracker(half_life) for _ in info.channels]
        self.utterances = 0
        self.gaps = 0

    async def take(self, jobs: Sequence[Job]) -> None:
        """Do jobs to their end, one after the other; what can be judged without waiting is, beforehand."""
        for some in _until_each_text(jobs):
            begun = [self._begin(job) for job in some]
            try:
                for work in begun:
                    await self._finish(work)
            finally:
                for work in begun:
                    work.cancel()

    async def take_live(self, job: Job, group: asyncio.TaskGroup) -> None:
        """Begin a job; what has to be waited for, a judgement or a transcript, in a task of its own."""
        work = self._begin(job)
        match job.event:
            case SpeechUpdate(channel=channel) if work.judgement:
                last = self._estimating.get(channel)
                self._estimating[channel] = group.create_task(self._finish_after(last, work))
            case SpeechEnded(channel=channel):
                last = self._estimating.pop(channel, None)
                group.create_task(self._finish_after(last, work))
            case _:
                await self._finish(work)

    async def _finish_after(self, estimating: "asyncio.Task[None] | None", work: "_Work") -> None:
        """Finish once the last estimate of the same utterance, judged before or together, has been emitted."""
        if estimating:
            await estimating
        await self._finish(work)

    def _begin(self, job: Job) -> "_Work":
        """Put into the context what belongs there, and begin to judge what is known."""
        from streamer_models.memory import UtteranceEmbedding

        match job.event:
            case SpeechEnded() as ended:
                number = self._state.add(UtteranceEmbedding(ended.channel, audio=ended.embedding))
                judgement = self._judged(self._state.window(number))
                return _Work(job, number, judgement, self._overlapped(ended))
            case SpeechUpdate() as estimate if self._estimates(estimate):
                speaking = UtteranceEmbedding(estimate.channel, audio=estimate.embedding)
                window = self._state.window_with(speaking)
                return _Work(job, None, self._judged(window, patient=True))
            case SpeechStarted() as started if started.channel not in self._silent:
                name = self._info.channels[started.channel]
                self._overlap.start(name, to_seconds(started.start))
                return _Work(job, None, None)
            case _:
                return _Work(job, None, None)

    def _overlapped(self, ended: SpeechEnded) -> float:
        if ended.channel in self._silent:
            return 0.0
        name = self._info.channels[ended.channel]
        return self._overlap.end(name, to_seconds(ended.start), to_seconds(ended.end))

    async def _finish(self, work: "_Work") -> None:
        match work.job.event:
            case SpeechStarted() as started:
                await self._started(started)
            case SpeechUpdate() as estimate if work.judgement:
                await self._estimate(estimate, work.judgement)
            case SpeechEnded() as ended if work.judgement and work.number is not None:
                await self._ended(ended, work.number, work.judgement, work)
            case Gap() as gap:
                await self._gap(gap)
            case _:
                pass

    def _estimates(self, estimate: SpeechUpdate) -> bool:
        return estimate.channel not in self._silent and self._policy.estimates

    def _judged(self, window: "Window", *, patient: bool = False) -> "asyncio.Future[Prediction]":
        return self._engine.judge(window, live=self._info.live, patient=patient)

    async def _started(self, started: SpeechStarted) -> None:
        if started.channel not in self._silent:
            await self._outlet.emit(
                events.SpeechStarted,
                **self._about(started.channel, started.start, started.at),
            )

    async def _estimate(self, estimate: SpeechUpdate, judged: "asyncio.Future[Prediction]") -> None:
        try:
            judgement = await judged
        except (RuntimeError, ValueError) as error:
            await self._outlet.error("analysis", str(error))
            return
        await self._outlet.emit(
            events.SpeechUpdate,
            **self._about(estimate.channel, estimate.start, estimate.at),
            probabilities=judgement.probabilities,
        )

    async def _ended(
        self, ended: SpeechEnded, number: int, judged: "asyncio.Future[Prediction]", work: "_Work"
    ) -> None:
        job = work.job
        heard_alone: Prediction | None = None
        judgement: Prediction | None = None
        transcript = Transcript("", "skipped")
        transcription_ms = analysis_ms = 0.0
        try:
            heard_alone = await judged
            await self._emit_last_update(ended, heard_alone)
            transcript, embedding, transcription_ms = await self._transcribed(job)
            watch = Stopwatch()
            judgement = heard_alone
            if await self._add_text(number, transcript, embedding):
                judgement = await self._judged(self._state.window(number))
            analysis_ms = watch.milliseconds()
        except (RuntimeError, ValueError, LookupError) as error:
            await self._outlet.error("analysis", f"an utterance could not be judged: {error}")
        latency = self._latency(job, ended, transcription_ms, analysis_ms)
        judgement = judgement or heard_alone
        await self._emit_utterance(ended, number, judgement, transcript, latency, work.overlap)

    def _latency(
        self, job: Job, ended: SpeechEnded, transcription: float, analysis: float
    ) -> events.Latency:
        endpoint = (ended.at - ended.voice_end) / SAMPLE_RATE * 1000
        total = endpoint + transcription + analysis
        if job.spoken is not None:
            total = max(0.0, self._clock.seconds() - job.spoken) * 1000
        return events.Latency(
            endpoint=endpoint, transcription=transcription, analysis=analysis, total=total
        )

    async def _add_text(
        self, number: int, transcript: Transcript, embedding: "Tensor | None"
    ) -> bool:
        """Put what was said into the context, if the model can read it."""
        if transcript.status != "ok" or not self._engine.reads(transcript.language):
            return False
        if embedding is None:  # it could not be made ahead
            embedding = await self._engine.embed_text(transcript.text)
        if embedding is None:
            return False
        self._state.set_text(number, embedding)
        return True

    async def _transcribed(self, job: Job) -> tuple[Transcript, "Tensor | None", float]:
        """The transcript, its embedding, and the milliseconds that it was waited for."""
        work = job.transcription
        if work is None:
            return Transcript("", "skipped"), None, 0.0
        ready = work.result.done()
        if reason := await self._wait_for(work, job):
            work.cancel()
            return Transcript("", "skipped", reason=reason), None, job.watch.milliseconds()
        try:
            done = work.result.result()
        except Exception as error:  # noqa: BLE001 - a recogniser's library may raise anything
            await self._outlet.error("transcription", f"{type(error).__name__}: {error}")
            return Transcript("", "failed"), None, job.watch.milliseconds()
        if done.transcript.status == "failed":
            await self._outlet.error("transcription", done.transcript.reason)
        waited = 0.0 if ready else job.watch.milliseconds()
        if isinstance(self._clock, VirtualClock):
            waited = done.busy_ms
        return done.transcript, done.embedding, waited

    async def _wait_for(self, work: Transcription, job: Job) -> str:
        """Wait as long as a transcript is worth it; give the reason if it has not come."""
        begin_by, finish_by = self._policy.transcript_deadlines(job.spoken)
        await self._first_of(work, begin_by)
        if work.begun:
            await self._first_of(work, finish_by)
        if not work.result.done() and self._control.stopped:
            await asyncio.wait({work.result}, timeout=self._patience.left())
        done = work.result.done() and not work.result.cancelled()
        if not done and self._control.stopped:
            return "told to stop"
        if message := self._policy.transcript_overdue(overdue=not done):
            await self._outlet.error("live", message)
        return "" if done else "behind"

    async def _first_of(self, work: Transcription, deadline: float) -> None:
        """Wait for a transcription, for the stop, or until a time of the clock."""
        stopped = asyncio.get_running_loop().create_future()
        either: list[asyncio.Future[Any]] = [work.result, stopped]
        timeout = None if deadline == math.inf else max(0.0, deadline - self._clock.seconds())
        with self._control.on_stop(partial(stopped.set_result, None)):
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def _emit_last_update(self, ended: SpeechEnded, judgement: "Prediction") -> None:
        if ended.channel not in self._silent:
            await self._outlet.emit(
                events.SpeechUpdate,
                **self._about(ended.channel, ended.start, ended.end),
                probabilities=judgement.probabilities,
            )

    async def _emit_utterance(
        self,
        ended: SpeechEnded,
        number: int,
        judgement: "Prediction | None",
        transcript: Transcript,
        latency: events.Latency,
        overlap: float,
    ) -> None:
        if ended.channel in self._silent:
            return
        said = transcript.status == "ok"
        shown = said and self._engine.settings.privacy.text
        about = self._about(ended.channel, ended.start, ended.end)
        self.utterances += 1
        await self._outlet.emit(
            events.Utterance,
            **about,
            turn=number,
            emotion=judgement.label if judgement else None,
            confidence=round(judgement.confidence, 4) if judgement else 0.0,
            probabilities=judgement.probabilities if judgement else {},
            abstained=judgement.abstained if judgement else True,
            text=transcript.text if shown else None,
            text_status="withheld" if said and not shown else transcript.status,
            modalities=list(judgement.modalities) if judgement else [],
            language=transcript.language if said else None,
            words=_words(transcript, ended.start) if shown else None,
            latency_ms=latency,
            acoustics=_acoustics(ended, transcript.text if said else ""),
            overlap=overlap,
        )
        if judgement:
            mood, trend = self._moods[ended.channel].update(
                ended.end / SAMPLE_RATE, judgement.probabilities
            )
            del about["utterance"]
            await self._outlet.emit(events.Mood, **about, probabilities=mood, trend=trend)

    async def _gap(self, gap: Gap) -> None:
        self.gaps += 1
        await self._outlet.emit(
            events.Gap,
            channel=self._info.channels[gap.channel],
            start=to_seconds(gap.start),
            end=to_seconds(gap.end),
            reason=gap.reason,
        )

    def _about(self, channel: int, start: int, end: int) -> dict[str, str | float]:
        """The fields of events about an utterance; its id depends on where it is, on nothing else."""
        name = self._info.channels[channel]
        return {
            "channel": name,
            "start": to_seconds(start),
            "end": to_seconds(end),
            "utterance": f"{self._outlet.session}:{name}:{start}",
        }


def _words(transcript: Transcript, start: int) -> list[events.Word] | None:
    """The words of an utterance that starts there, on the conversation's time; None if they were not asked for."""
    begin = to_seconds(start)
    return [
        events.Word(
            word=word.text,
            start=begin + word.start,
            end=begin + word.end,
            confidence=round(word.probability, 4),
        )
        for word in transcript.words
    ] or None


def _acoustics(ended: SpeechEnded, text: str) -> events.Acoustics | None:
    if ended.acoustics is None:
        return None
    rate = words_per_minute(text, (ended.end - ended.start) / SAMPLE_RATE)
    return ended.acoustics.model_copy(update={"words_per_minute": rate})


def _until_each_text(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """The jobs in parts that end with an utterance whose text has to come before the next is judged."""
    begin = 0
    for place, job in enumerate(jobs, 1):
        if job.transcription or place == len(jobs):
            yield jobs[begin:place]
            begin = place
