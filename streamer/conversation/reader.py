"""From a conversation's audio to the jobs of its analysis."""

from collections.abc import AsyncIterable, Sequence

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap
from streamer.clock import Stopwatch
from streamer.control import Control
from streamer.conversation.jobs import Job
from streamer.conversation.load import LoadPolicy
from streamer.conversation.outgoing import Outgoing
from streamer.conversation.speech_stage import SpeechStage
from streamer.errors import SourceError
from streamer.runtime.models import Runtime
from streamer.runtime.queues import BoundedQueue
from streamer.speech import (
    Effort,
    SpeechEnded,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechUpdate,
)
from streamer.transcription.ahead import PendingTranscript, Transcripts

READ_AHEAD = 60.0
"""Seconds of speech that a replay may be ahead of its analysis."""


class SourceReader:
    """Reads the audio, has it processed, begins transcriptions, and queues what became known.

    Args:
        audio: what the source delivers.
        runtime: the models.
        speech: has the audio processed.
        transcripts: begun at pauses and endpoints.
        outgoing: takes messages about load.
        policy: what is left out when analysis is behind.
        control: holds the reason if reading was stopped.
    """

    def __init__(
        self,
        audio: AsyncIterable[Sequence[AudioChunk | Gap]],
        runtime: Runtime,
        speech: SpeechStage,
        transcripts: Transcripts,
        outgoing: Outgoing,
        policy: LoadPolicy,
        control: Control,
    ) -> None:
        self._audio = audio
        self._runtime = runtime
        self._speech = speech
        self._transcripts = transcripts
        self._outgoing = outgoing
        self._policy = policy
        self._control = control
        self._origins: dict[int, float] = {}
        """Seconds of the clock at each channel's time 0, as far as its audio says."""
        self.jobs = BoundedQueue[Job](READ_AHEAD)
        self.position = 0
        """End of the audio read, in samples."""
        self.damage = ""
        """Why the source broke off."""

    async def read(self) -> str:
        """Read to the end; return the reason of the end."""
        reason = "finished"
        try:
            try:
                async for items in self._audio:
                    await self._process(items)
            except SourceError as error:
                self.damage = str(error)
                reason = "failed"
            reason = self._control.stopped or reason
            await self._queue(await self._speech.finish())
        finally:
            self.jobs.close()
        return reason

    async def _process(self, items: Sequence[AudioChunk | Gap]) -> None:
        for item in items:
            self.position = max(self.position, item.end)
            if isinstance(item, AudioChunk) and item.captured is not None:
                self._origins[item.channel] = item.captured - item.end / SAMPLE_RATE
            self._speech.push(item)
        if self._speech.due:
            await self._queue(await self._speech.process(await self._effort()))

    async def _effort(self) -> Effort:
        """Say how much is done now; tell the user where that is less than before."""
        policy = self._policy
        if not policy.live:
            return Effort.ALL
        policy.take_pressure(self._runtime.pressure)
        if message := policy.escalation():
            await self._outgoing.error("live", message)
        crowded = policy.effort == Effort.ALL and self._runtime.crowded
        return Effort.LESS if crowded else policy.effort

    async def _queue(self, speech_events: Sequence[SpeechEvent]) -> None:
        for event in speech_events:
            transcript = self._transcript(event)
            seconds, spoken = 0.0, None
            if isinstance(event, SpeechUpdate) and transcript:
                seconds = (event.at - event.start) / SAMPLE_RATE
            if isinstance(event, SpeechEnded):
                seconds = len(event.samples) / SAMPLE_RATE
                if event.channel in self._origins:
                    spoken = self._origins[event.channel] + event.voice_end / SAMPLE_RATE
            await self.jobs.put(Job(event, Stopwatch(), transcript, spoken), seconds)

    def _transcript(self, event: SpeechEvent) -> PendingTranscript | None:
        """Begin, cancel or match a transcription, as the event asks for."""
        transcribes = self._runtime.transcribes and self._policy.transcribes
        match event:
            case SpeechPaused() if transcribes:
                self._transcripts.pause(event.channel, event.end, event.samples)
            case SpeechUpdate(samples=samples) if transcribes and samples is not None:
                return self._transcripts.draft(samples)
            case SpeechResumed():
                self._transcripts.resume(event.channel)
            case SpeechEnded():
                return self._transcripts.endpoint(
                    event.channel, event.end, event.samples, begin=transcribes
                )
        return None
