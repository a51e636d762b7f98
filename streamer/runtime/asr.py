"""Speech recognition in worker threads, and the embedding of the transcripts."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from streamer.audio import Samples
from streamer.clock import Stopwatch
from streamer.runtime.batching import BatchStatistics
from streamer.transcription import Transcriber, Transcript
from streamer.transcription.ahead import EmbeddedTranscript, PendingTranscript

if TYPE_CHECKING:
    from torch import Tensor


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

    def submit(self, samples: Samples) -> PendingTranscript:
        """Begin to transcribe an utterance, float32 [n], and to embed its text."""
        with self._lock:
            self._submitted += 1
        work = self._pool.submit(self._transcribe, samples)
        work.add_done_callback(self._count)
        return PendingTranscript(work)

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

    def _transcribe(self, samples: Samples) -> EmbeddedTranscript:
        with self._lock:
            self._started += 1
        watch = Stopwatch()
        transcriber = self._free.get()
        try:
            transcript = transcriber.transcribe(samples, language=self._language)
            embedding = self._try_to_embed(transcript)
        finally:
            self._free.put(transcriber)
            with self._lock:
                self._finished += 1
        return EmbeddedTranscript(transcript, embedding, watch.milliseconds())

    def _try_to_embed(self, transcript: Transcript) -> "Tensor | None":
        try:
            return self._embed(transcript)
        except (
            RuntimeError,
            ValueError,
        ):  # tried again, and reported, where the embedding is needed
            return None
