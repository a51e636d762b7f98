"""Speech recognition in worker threads, and the embedding of the transcripts."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from streamer.audio import Samples
from streamer.clock import Stopwatch
from streamer.runtime.batching import BatchStatistics
from streamer.transcription import Drafting, Steerable, Transcriber, Transcript
from streamer.transcription.ahead import EmbeddedTranscript, PendingTranscript

if TYPE_CHECKING:
    from torch import Tensor


_Work = Callable[[Transcriber, Samples, threading.Event], EmbeddedTranscript]
"""Done for an utterance by a transcriber, until its event says that nobody wants the result."""


class AsrPool:
    """Workers with a transcriber each.

    Args:
        transcribers: at least one, all of the same kind.
        embed: embeds a transcript; None if it has no text that the bundle can read.
        language: ISO 639-1 code of the language spoken; None: recognised.
    """

    def __init__(
        self,
        transcribers: Sequence[Transcriber],
        embed: "Callable[[Transcript], Tensor | None]",
        *,
        language: str | None,
    ) -> None:
        self.name = transcribers[0].name
        """Backend and model, as the `asr` field of `session_started` gives it."""
        self._transcribers = transcribers
        self._embed = embed
        self._language = language
        self._free: queue.SimpleQueue[Transcriber] = queue.SimpleQueue()
        for transcriber in transcribers:
            self._free.put(transcriber)
        self._pool = ThreadPoolExecutor(len(transcribers), thread_name_prefix="asr")
        self._lock = threading.Lock()
        """Guards the counters."""
        self._submitted = self._started = self._finished = self._cancelled = 0

    def submit(self, samples: Samples, *, thorough: bool = False) -> PendingTranscript:
        """Begin to transcribe an utterance, float32 [n], and to embed its text."""
        return self._submit(partial(self._transcribe, thorough=thorough), samples)

    def submit_draft(self, samples: Samples) -> PendingTranscript:
        """Begin to transcribe an utterance so far, float32 [n]; its text is not embedded."""
        return self._submit(self._draft, samples)

    @property
    def free(self) -> bool:
        """Whether a worker has nothing to do."""
        with self._lock:
            unfinished = self._submitted - self._finished - self._cancelled
        return unfinished < len(self._transcribers)

    def statistics(self) -> BatchStatistics:
        """Return how busy the pool is."""
        with self._lock:
            return BatchStatistics(
                waiting=self._submitted - self._started - self._cancelled,
                busy=self._started - self._finished,
                calls=self._started,
                items=self._started,
                cancelled=self._cancelled,
            )

    def close(self) -> None:
        """End the workers; what is under way is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for transcriber in self._transcribers:
            transcriber.close()

    def _count(self, work: Future[EmbeddedTranscript]) -> None:
        with self._lock:
            self._cancelled += work.cancelled()

    def _submit(self, work: _Work, samples: Samples) -> PendingTranscript:
        with self._lock:
            self._submitted += 1
        unwanted = threading.Event()
        submitted = self._pool.submit(self._do, work, samples, unwanted)
        submitted.add_done_callback(self._count)
        return PendingTranscript(submitted, unwanted.set)

    def _do(self, work: _Work, samples: Samples, unwanted: threading.Event) -> EmbeddedTranscript:
        """Do work with a transcriber that is free."""
        with self._lock:
            self._started += 1
        transcriber = self._free.get()
        try:
            return work(transcriber, samples, unwanted)
        finally:
            self._free.put(transcriber)
            with self._lock:
                self._finished += 1

    def _transcribe(
        self,
        transcriber: Transcriber,
        samples: Samples,
        unwanted: threading.Event,
        *,
        thorough: bool,
    ) -> EmbeddedTranscript:
        watch = Stopwatch()
        recognise = transcriber.transcribe
        if isinstance(transcriber, Steerable):
            recognise = partial(
                transcriber.transcribe_steered, thorough=thorough, unwanted=unwanted.is_set
            )
        transcript = recognise(samples, language=self._language)
        embedding = None if unwanted.is_set() else self._try_to_embed(transcript)
        return EmbeddedTranscript(transcript, embedding, watch.milliseconds())

    def _draft(
        self, transcriber: Transcriber, samples: Samples, _: threading.Event
    ) -> EmbeddedTranscript:
        recognise = (
            transcriber.draft if isinstance(transcriber, Drafting) else transcriber.transcribe
        )
        return EmbeddedTranscript(recognise(samples, language=self._language))

    def _try_to_embed(self, transcript: Transcript) -> "Tensor | None":
        try:
            return self._embed(transcript)
        except (
            RuntimeError,
            ValueError,
        ):  # tried again, and reported, where the embedding is needed
            return None
