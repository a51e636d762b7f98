"""One conversation's analysis: speech events become classified utterances, with text where it is in time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.audio import Gap
from streamer.clock import Clock, Stopwatch
from streamer.conversation.jobs import Job, split_at_texts
from streamer.conversation.load import LoadPolicy
from streamer.conversation.outgoing import Outgoing
from streamer.conversation.texts import Texts
from streamer.conversation.turns import Turns
from streamer.speech import (
    SoundHeard,
    SpeakersMerged,
    SpeechEnded,
    SpeechStarted,
    SpeechUpdate,
)
from streamer.transcription import Transcript
from streamer.transcription.ahead import PendingTranscript, Transcripts
from streamer.transcription.stable import StableText

if TYPE_CHECKING:
    from streamer_models.classifier import Prediction


@dataclass(frozen=True, slots=True)
class _Begun:
    """A job whose classification has begun."""

    job: Job
    number: int = -1
    """Of the utterance, if it ended."""
    prediction: "asyncio.Future[Prediction] | None" = None
    """From its audio."""
    overlap: float = 0.0
    """Seconds of the utterance during which others spoke."""


class Conversation:
    """Turns speech events into events about emotions.

    Args:
        turns: order and context.
        transcripts: waits for text.
        outgoing: takes the results.
        policy: how long text is worth waiting for.
        clock: latencies are measured by it; if it is virtual, they are the time of the work alone.
    """

    def __init__(
        self,
        turns: Turns,
        transcripts: Transcripts,
        outgoing: Outgoing,
        policy: LoadPolicy,
        clock: Clock,
    ) -> None:
        self._turns = turns
        self._transcripts = transcripts
        self._outgoing = outgoing
        self._texts = Texts(transcripts, outgoing, policy, clock)
        self._updating: dict[int, asyncio.Task[None]] = {}
        """By channel, the last update of its utterance, if it is live."""
        self._stable: dict[tuple[int, int], StableText] = {}
        """By channel and start, the words of an unfinished utterance."""

    async def take(self, jobs: Sequence[Job]) -> None:
        """Do jobs to their end, in order; classifications that wait for no text begin beforehand, as a batch."""
        for part in split_at_texts(jobs):
            begun = [self._begin(job) for job in part]
            try:
                for one in begun:
                    await self._finish(one)
            finally:
                for one in begun:
                    if one.prediction:
                        one.prediction.cancel()

    async def take_live(self, job: Job, group: asyncio.TaskGroup) -> None:
        """Begin a job; what has to be waited for, a prediction or a transcript, in a task of its own."""
        begun = self._begin(job)
        match job.event:
            case SpeechUpdate(channel=channel) if begun.prediction:
                before = self._updating.get(channel)
                self._updating[channel] = group.create_task(self._finish_after(before, begun))
            case SpeechEnded(channel=channel):
                before = self._updating.pop(channel, None)
                group.create_task(self._finish_after(before, begun))
            case _:
                await self._finish(begun)

    async def _finish_after(self, before: "asyncio.Task[None] | None", begun: _Begun) -> None:
        """Finish once the last update of the same utterance has been emitted."""
        if before:
            await before
        await self._finish(begun)

    def _begin(self, job: Job) -> _Begun:
        """Add an utterance to the context; begin to classify its audio."""
        match job.event:
            case SpeechEnded() as ended:
                span = ended.start, ended.end
                number = self._turns.add(ended.channel, ended.embedding, span, ended.speaker)
                prediction = self._turns.classify(number)
                return _Begun(job, number, prediction, self._outgoing.overlap(ended))
            case SpeechStarted() as started:
                self._outgoing.overlap(started)
            case SpeechUpdate() as update if self._outgoing.wants_updates(update.channel):
                prediction = self._turns.classify_unfinished(
                    update.channel, update.embedding, (update.start, update.at), update.speaker
                )
                return _Begun(job, prediction=prediction)
        return _Begun(job)

    async def _finish(self, begun: _Begun) -> None:
        match begun.job.event:
            case SpeechStarted() as started:
                await self._outgoing.speech_started(started)
            case SpeechUpdate() as update if begun.prediction:
                await self._update(update, begun.job.transcript, begun.prediction)
            case SpeechEnded() as ended if begun.prediction:
                await self._utterance(ended, begun, begun.prediction)
            case SpeakersMerged() as merged:
                await self._outgoing.speaker_merged(merged)
            case SoundHeard() as heard:
                await self._outgoing.sound(heard)
            case Gap() as gap:
                await self._outgoing.gap(gap)

    async def _update(
        self,
        update: SpeechUpdate,
        draft: PendingTranscript | None,
        classified: "asyncio.Future[Prediction]",
    ) -> None:
        stable = self._stable.setdefault((update.channel, update.start), StableText())
        try:
            prediction = await classified
            if draft:
                stable.take((await self._transcripts.wait(draft)).transcript)
            await self._outgoing.speech_update(update, prediction, stable.text)
        except (RuntimeError, ValueError) as error:
            await self._outgoing.error("analysis", str(error))

    async def _utterance(
        self, ended: SpeechEnded, begun: _Begun, classified: "asyncio.Future[Prediction]"
    ) -> None:
        """Classify an utterance by its audio, then with its text."""
        job, number = begun.job, begun.number
        stable = self._stable.pop((ended.channel, ended.start), StableText())
        prediction: Prediction | None = None
        transcript = Transcript("", "skipped")
        transcription_ms = analysis_ms = 0.0
        try:
            prediction = await classified
            await self._outgoing.speech_update(ended, prediction, stable.text)
            text, transcription_ms = await self._texts.wait(job)
            transcript, watch = text.transcript, Stopwatch()
            if await self._turns.add_text(number, text):
                prediction = await self._turns.classify(number)
            analysis_ms = watch.milliseconds()
        except (RuntimeError, ValueError, LookupError) as error:
            message = f"an utterance could not be classified: {error}"
            await self._outgoing.error("analysis", message)
        latency = self._texts.latency(job, ended, transcription_ms, analysis_ms)
        await self._outgoing.utterance(
            ended, number, prediction, transcript, latency, begun.overlap
        )
