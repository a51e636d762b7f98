"""Loaded models and the worker pools they run in, shared by all conversations of a process."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from streamer.runtime.asr import AsrPool
from streamer.runtime.batching import Batcher, BatchStatistics
from streamer.runtime.classification import BatchingClassifier
from streamer.runtime.pressure import Pressure
from streamer.transcription import NO_TRANSCRIBER, Transcriber, Transcript

if TYPE_CHECKING:
    from torch import Tensor

    from streamer_models.bundle import Bundle
    from streamer_models.classifier import Prediction
    from streamer_models.contract import AudioStream, Window
    from streamer_models.memory import ConversationState

_AUDIO_BATCH = 2
"""Conversations whose audio is processed in one call at most: each waits until all of them are done."""

_CROWDED = 2
"""Calls that wait for each worker of the audio pool while it is crowded: tens of milliseconds of work."""

R = TypeVar("R")


class Runtime:
    """Models and worker pools. A context manager; leaving it ends the workers.

    Each kind of work has a pool of its own, so that the audio of one conversation never waits for the transcription of
    another: `audio` finds and embeds speech, `analysis` classifies and embeds text, `asr` transcribes and embeds the
    text of its transcripts.

    Args:
        bundle: the emotion model.
        transcribers: one for each utterance that is transcribed at the same time.
        cores: workers of the audio pool, and of the analysis pool.
        threshold: confidence below which the model abstains; None: the bundle's own.
        language: ISO 639-1 code of the language spoken; None: recognised.
    """

    def __init__(
        self,
        bundle: "Bundle",
        transcribers: Sequence[Transcriber],
        *,
        cores: int,
        threshold: float | None = None,
        language: str | None = None,
    ) -> None:
        self.bundle = bundle
        self._cores = cores
        self.asr = AsrPool(transcribers, self._embed, language=language)
        self._new_stream = bundle.audio_streams()
        self._text_embedder = bundle.text_embedder()
        self._classifier = bundle.classifier(threshold)
        self._audio_pool = ThreadPoolExecutor(cores, thread_name_prefix="audio")
        self._analysis_pool = ThreadPoolExecutor(cores, thread_name_prefix="analysis")
        self._audio: Batcher[Callable[[], Any], Any] = Batcher(
            self._audio_pool, cores, _call_all, limit=_AUDIO_BATCH
        )
        self._classification = BatchingClassifier(self._classifier, self._analysis_pool, cores)
        self._pressure = Pressure(cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for pool in (self._audio_pool, self._analysis_pool):
            pool.shutdown(wait=False, cancel_futures=True)
        self.asr.close()

    @property
    def transcribes(self) -> bool:
        """Whether there is a transcriber at all."""
        return self.asr.name != NO_TRANSCRIBER

    @property
    def new_stream(self) -> "Callable[[], AudioStream] | None":
        """Factory of the audio stream of a new utterance; None for a bundle without audio."""
        return self._new_stream

    @property
    def crowded(self) -> bool:
        """Whether so many conversations wait for their audio to be processed that each should do without luxuries."""
        return self._audio.statistics().waiting > _CROWDED * self._cores

    @property
    def pressure(self) -> int:
        """How busy the workers of the audio pool have been for some seconds: a step of `runtime.pressure`."""
        return self._pressure.step(time.monotonic(), self._audio.statistics().seconds)

    def new_state(self) -> "ConversationState":
        """Return the memory of a conversation that begins."""
        return self._classifier.new_state()

    async def process_audio(self, work: Callable[[], R]) -> R:
        """Do work of one conversation's audio in the audio pool."""
        return cast("R", await self._audio.submit(work))

    async def embed_text(self, transcript: Transcript) -> "Tensor | None":
        """Embed a transcript in the analysis pool; None if the bundle cannot read it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._analysis_pool, self._embed, transcript)

    def classify(
        self, window: "Window", *, live: bool, may_wait: bool = False
    ) -> "asyncio.Future[Prediction]":
        """Begin to classify the last utterance of a window (see `BatchingClassifier.submit`)."""
        return self._classification.submit(window, live=live, may_wait=may_wait)

    def statistics(self) -> dict[str, BatchStatistics]:
        """Return how busy each pool is, by its name."""
        return {
            "audio": self._audio.statistics(),
            "analysis": self._classification.statistics(),
            "asr": self.asr.statistics(),
        }

    def _embed(self, transcript: Transcript) -> "Tensor | None":
        known = self.bundle.languages
        readable = not known or transcript.language is None or transcript.language in known
        if self._text_embedder is None or transcript.status != "ok" or not readable:
            return None
        return self._text_embedder([transcript.text])[0]


def _call_all(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call all; one that fails does not affect the others."""
    results: list[Any] = []
    for call in calls:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - raised where its conversation waits for it
            results.append(error)
    return results
