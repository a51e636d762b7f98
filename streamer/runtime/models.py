"""Loaded models and the worker pools they run in, shared by all conversations of a process."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from streamer.errors import UserError
from streamer.runtime.actors import Actor, Make, Threads, Workers
from streamer.runtime.asr import AsrPool
from streamer.runtime.batching import BatchStatistics
from streamer.runtime.classification import BatchingClassifier
from streamer.runtime.pressure import Pressure
from streamer.transcription import NO_TRANSCRIBER, Transcriber, Transcript

if TYPE_CHECKING:
    from torch import Tensor

    from streamer_models.bundle import Bundle
    from streamer_models.classifier import Prediction
    from streamer_models.contract import Window
    from streamer_models.memory import ConversationState

_CROWDED = 2
"""Calls that wait for each worker of the audio pool while it is crowded: tens of milliseconds of work."""

T = TypeVar("T")


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
        audio: the workers of the audio pool, `cores` of them; None: threads.
    """

    def __init__(
        self,
        bundle: "Bundle",
        transcribers: Sequence[Transcriber],
        *,
        cores: int,
        audio: Workers | None = None,
        threshold: float | None = None,
        language: str | None = None,
    ) -> None:
        self.bundle = bundle
        self._cores = cores
        self.asr = AsrPool(transcribers, self._embed, language=language)
        self._text_embedder = bundle.text_embedder()
        self._classifier = bundle.classifier(threshold)
        self._analysis_pool = ThreadPoolExecutor(cores, thread_name_prefix="analysis")
        self._audio = audio or Threads(bundle.audio_streams(), cores)
        self._classification = BatchingClassifier(self._classifier, self._analysis_pool, cores)
        self._pressure = Pressure(cores)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._audio.close()
        self._analysis_pool.shutdown(wait=False, cancel_futures=True)
        self.asr.close()

    @property
    def transcribes(self) -> bool:
        """Whether there is a transcriber at all."""
        return self.asr.name != NO_TRANSCRIBER

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

    def start_actor(self, make: Make[T]) -> Actor[T]:
        """Have what processes the audio of a conversation made in the audio pool: now, or at its first call.

        Raises:
            UserError: the bundle has no audio encoder, or whatever `make` raises.
        """
        if self.bundle.model.audio is None:
            raise UserError(f"emotion.bundle: {self.bundle.name} has no audio encoder")
        return self._audio.start(make)

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
