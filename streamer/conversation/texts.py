"""Texts of utterances: waiting for them within the deadlines, and what that adds to the latency."""

from streamer import events
from streamer.audio import SAMPLE_RATE
from streamer.clock import Clock, VirtualClock
from streamer.conversation.jobs import Job
from streamer.conversation.load import LoadPolicy
from streamer.conversation.outgoing import Outgoing
from streamer.speech import SpeechEnded
from streamer.transcription import Transcript
from streamer.transcription.ahead import BEHIND, STOPPED, EmbeddedTranscript, Transcripts


class Texts:
    """Waits for the texts of utterances; reports those that fail or are given up.

    Args:
        transcripts: under way.
        outgoing: takes the messages.
        policy: how long text is worth waiting for.
        clock: latencies are measured by it; if it is virtual, they are the time of the work alone.
    """

    def __init__(
        self, transcripts: Transcripts, outgoing: Outgoing, policy: LoadPolicy, clock: Clock
    ) -> None:
        self._transcripts = transcripts
        self._outgoing = outgoing
        self._policy = policy
        self._clock = clock

    async def wait(self, job: Job) -> tuple[EmbeddedTranscript, float]:
        """Wait for the text of an utterance; return it with the milliseconds that it was waited for."""
        pending = job.transcript
        if pending is None:
            return EmbeddedTranscript(Transcript("", "skipped")), 0.0
        ready = pending.result.done()
        begin_by, finish_by = self._policy.transcript_deadlines(job.spoken)
        text = await self._transcripts.wait(pending, begin_by=begin_by, finish_by=finish_by)
        if text.transcript.status == "failed":
            await self._outgoing.error("transcription", text.transcript.reason)
        if text.transcript.reason != STOPPED:
            overdue = text.transcript.reason == BEHIND
            if message := self._policy.transcript_overdue(overdue=overdue):
                await self._outgoing.error("live", message)
        if isinstance(self._clock, VirtualClock):
            return text, text.busy_ms
        return text, 0.0 if ready else job.watch.milliseconds()

    def latency(
        self, job: Job, ended: SpeechEnded, transcription: float, analysis: float
    ) -> events.Latency:
        """Return the latency of an utterance, given the milliseconds of waiting for its text and of analysis."""
        endpoint = (ended.at - ended.voice_end) / SAMPLE_RATE * 1000
        total = endpoint + transcription + analysis
        if job.spoken is not None:
            total = max(0.0, self._clock.seconds() - job.spoken) * 1000
        return events.Latency(
            endpoint=endpoint, transcription=transcription, analysis=analysis, total=total
        )
