"""The life cycle of a transcript: begun at a pause, matched to the endpoint, waited for, cancelled.

Transcription begins when the speaker pauses, so that the text is ready at the endpoint. If the speaker goes on, the
work is cancelled; if the utterance ends where it paused, its result is used. Drafts are transcripts of unfinished
utterances, to be shown. In replays, where nobody waits, the first utterance of a channel is transcribed thoroughly:
people judge the rest by it.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from streamer.audio import Samples
from streamer.clock import Clock
from streamer.control import Control, TranscriptCounts
from streamer.transcription import Transcript
from streamer.transcription.deadline import Deadline

if TYPE_CHECKING:
    from concurrent.futures import Future

    from torch import Tensor

BEHIND, STOPPED = "behind", "stopped"
"""Reasons of a transcript that was given up."""

GRACE = 1.0
"""Seconds that the transcripts of a conversation may still take, all in all, once it has been stopped."""


@dataclass(frozen=True, slots=True)
class EmbeddedTranscript:
    """A transcript with the embedding of its text."""

    transcript: Transcript
    embedding: "Tensor | None" = None
    """float32 [embedding]; None without text, or if it could not be embedded."""
    busy_ms: float = 0.0
    """Milliseconds that both took."""


class PendingTranscript:
    """A transcription that waits for a worker, is under way, or done.

    Args:
        work: gives the result.
        give_up: tells the worker that nobody wants it.
    """

    def __init__(
        self, work: "Future[EmbeddedTranscript]", give_up: Callable[[], None] = lambda: None
    ) -> None:
        self._work = work
        self._give_up = give_up
        self.result = asyncio.wrap_future(work)

    @property
    def begun(self) -> bool:
        """Whether a worker has begun, or is done."""
        return not self._work.cancelled() and (self._work.running() or self._work.done())

    def cancel(self) -> None:
        """Drop the result; the work is saved, or what is left of it as far as the transcriber can."""
        self._give_up()
        self.result.cancel()


class Workers(Protocol):
    """Pool of transcribers."""

    @property
    def free(self) -> bool:
        """Whether a worker has nothing to do."""
        ...

    def submit(self, samples: Samples, *, thorough: bool = False) -> PendingTranscript:
        """Begin to transcribe an utterance, float32 [n], with more trouble if asked to."""
        ...

    def submit_draft(self, samples: Samples) -> PendingTranscript:
        """Begin to transcribe an utterance so far, float32 [n]."""
        ...


class Transcripts:
    """The transcripts of one conversation.

    Args:
        workers: transcribe.
        clock: its time counts for deadlines.
        control: once it stops the conversation, transcripts are waited for no longer than `GRACE` in all.
        ahead: whether transcription begins at pauses.
        live: whether words are waited for: no utterance is transcribed thoroughly then, and drafts are left out where
            whole utterances would wait for them.
        counts: where the transcriptions are counted; None: nobody looks.
    """

    def __init__(
        self,
        workers: Workers,
        clock: Clock,
        control: Control,
        *,
        ahead: bool,
        live: bool,
        counts: TranscriptCounts | None = None,
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._control = control
        self._ahead = ahead
        self._live = live
        self._begun: dict[int, tuple[int, PendingTranscript]] = {}
        """By channel: where the utterance would end, and its transcription."""
        self._opened: set[int] = set()
        """Channels of which an utterance has ended."""
        self._grace = Deadline(GRACE)
        self.counts = counts or TranscriptCounts()

    def pause(self, channel: int, end: int, samples: Samples) -> None:
        """Begin to transcribe an utterance that may end here."""
        self.resume(channel)
        if self._ahead:
            self._begun[channel] = (end, self._begin(channel, samples))

    def resume(self, channel: int) -> None:
        """Cancel what was begun at a pause: the speaker went on."""
        _, begun = self._begun.pop(channel, (0, None))
        if begun:
            self._cancel(begun)

    def endpoint(
        self, channel: int, end: int, samples: Samples, *, begin: bool = True
    ) -> PendingTranscript | None:
        """Return the transcription of an utterance that ended: begun at its pause, or now if asked to."""
        begun_end, begun = self._begun.pop(channel, (-1, None))
        if begun and begun_end == end:
            self.counts.reused += 1
        else:
            if begun:
                self._cancel(begun)
            begun = self._begin(channel, samples) if begin else None
        self._opened.add(channel)
        return begun

    def draft(self, samples: Samples) -> PendingTranscript | None:
        """Begin to transcribe an utterance so far; return None if a whole one would wait for it."""
        if self._live and not self._workers.free:
            return None
        self.counts.drafts += 1
        return self._workers.submit_draft(samples)

    async def wait(
        self, pending: PendingTranscript, *, begin_by: float = math.inf, finish_by: float = math.inf
    ) -> EmbeddedTranscript:
        """Wait for a transcript as long as it is worth it; never raises.

        Args:
            pending: the transcription.
            begin_by: seconds of the clock after which it is given up unless it has begun.
            finish_by: seconds of the clock after which it is given up.

        Returns:
            The transcript; "skipped" with a reason if it was given up, "failed" if the transcriber raised.
        """
        await self._first_of(pending, begin_by)
        if pending.begun:
            await self._first_of(pending, finish_by)
        if not pending.result.done() and self._control.stopped:
            await asyncio.wait({pending.result}, timeout=self._grace.left())
        if not pending.result.done() or pending.result.cancelled():
            self._cancel(pending)
            return EmbeddedTranscript(Transcript("", "skipped", reason=self._reason()))
        try:
            return pending.result.result()
        except Exception as error:  # noqa: BLE001 - a transcriber's library may raise anything
            reason = f"{type(error).__name__}: {error}"
            return EmbeddedTranscript(Transcript("", "failed", reason=reason))

    def _reason(self) -> str:
        return STOPPED if self._control.stopped else BEHIND

    def _begin(self, channel: int, samples: Samples) -> PendingTranscript:
        self.counts.begun += 1
        thorough = not self._live and channel not in self._opened
        return self._workers.submit(samples, thorough=thorough)

    def _cancel(self, pending: PendingTranscript) -> None:
        self.counts.cancelled += 1
        pending.cancel()

    async def _first_of(self, pending: PendingTranscript, deadline: float) -> None:
        """Wait for a transcription, for the stop, or until a time of the clock."""
        stopped = asyncio.get_running_loop().create_future()
        either: list[asyncio.Future[Any]] = [pending.result, stopped]
        timeout = None if deadline == math.inf else max(0.0, deadline - self._clock.seconds())
        with self._control.on_stop(partial(stopped.set_result, None)):
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
