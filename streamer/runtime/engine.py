"""What conversations share: the loaded models and the threads that they work in."""

import asyncio
import contextlib
import gc
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

from streamer.audio import Samples, to_samples
from streamer.clock import Stopwatch
from streamer.errors import UserError
from streamer.runtime.batching import Batcher
from streamer.runtime.classification import Judging
from streamer.settings.tree import Settings
from streamer.sources import SourceInfo
from streamer.speech import SpeechEvent
from streamer.speech.processor import ChannelProcessor, SpeechProcessor
from streamer.transcription import Transcriber, Transcript
from streamer.transcription.registry import NoTranscriber

if TYPE_CHECKING:
    from torch import Tensor

    from streamer_models.bundle import Bundle
    from streamer_models.classifier import Prediction
    from streamer_models.memory import ConversationState, Window

_HEARD_TOGETHER = 8
"""Conversations heard in one call at most: each has to wait until all of them have been."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Transcribed:
    """A transcript, the embedding of its text, and the time that both took."""

    transcript: Transcript
    embedding: "Tensor | None"
    """None if there is no text, or nothing could be made of it."""
    busy_ms: float


class Transcription:
    """A transcription that waits for its turn, is under way, or done."""

    def __init__(self) -> None:
        self.begun = False
        self.result: asyncio.Future[Transcribed]

    def cancel(self) -> None:
        """Nobody wants it any more; that saves the work unless it has begun."""
        self.result.cancel()


class Engine:
    """Models and threads. A context manager; leaving it ends the threads.

    Each kind of work has threads of its own, so that hearing one conversation never waits for the
    transcription of another: `ear` hears, `mind` embeds text and judges, `scribe` transcribes.
    """

    def __init__(
        self, settings: Settings, bundle: "Bundle", transcribers: Sequence[Transcriber]
    ) -> None:
        self.settings = settings
        self.bundle = bundle
        self.asr = transcribers[0].name
        self._classifier = bundle.classifier(settings.emotion.threshold)
        self._text_embedder = bundle.text_embedder()
        self._new_stream = bundle.audio_streams()
        self._transcribers = transcribers
        self._free: queue.SimpleQueue[Transcriber] = queue.SimpleQueue()
        for transcriber in transcribers:
            self._free.put(transcriber)
        cores = settings.usable_cores
        self._ear = ThreadPoolExecutor(cores, thread_name_prefix="ear")
        self._mind = ThreadPoolExecutor(cores, thread_name_prefix="mind")
        self._scribe = ThreadPoolExecutor(len(transcribers), thread_name_prefix="scribe")
        self._hear_together = Batcher(self._ear, cores, _process_all, limit=_HEARD_TOGETHER)
        self._judging = Judging(self._classifier, self._mind, cores)

    @classmethod
    def load(cls, settings: Settings, notify: Callable[[str], None]) -> Self:
        """Load the models that the settings name.

        Args:
            settings: all settings.
            notify: told, in one line, where something had to be replaced by something lesser.

        Raises:
            UserError: if a model cannot be had.
        """
        import torch

        from streamer.transcription.registry import make_transcriber
        from streamer_models.bundle import Bundle, BundleError, find_bundle

        # One thread for each computation: several side by side use the cores better than one that
        # is split among them, and sums that are split are not always the same.
        torch.set_num_threads(1)
        try:
            bundle = Bundle.load(find_bundle(settings.emotion.bundle))
        except BundleError as error:
            raise UserError(f"emotion.bundle: {error}") from None
        if settings.emotion.device == "cuda":
            if not torch.cuda.is_available():
                raise UserError(
                    "emotion.device cuda: torch finds no GPU; set emotion.device to cpu"
                )
            bundle.model.to("cuda")
        made = [
            make_transcriber(settings.asr, settings.usable_cores)
            for _ in range(settings.asr.parallel)
        ]
        if made[0][1]:
            notify(made[0][1])
        # What is loaded is there to stay. The collector of garbage would go through all of it time and again, and hold
        # up every conversation for a tenth of a second.
        gc.freeze()
        return cls(settings, bundle, [transcriber for transcriber, _ in made])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for executor in (self._ear, self._mind, self._scribe):
            executor.shutdown(wait=False, cancel_futures=True)
        for transcriber in self._transcribers:
            transcriber.close()

    def processor(self, info: SourceInfo) -> SpeechProcessor:
        """Make what processes a source's channels, without those that the settings exclude."""
        from streamer.speech.registry import make_segmenter

        new_stream = self._new_stream
        if new_stream is None:
            raise UserError(f"emotion.bundle: {self.bundle.name} cannot judge audio")
        modes = self.settings.privacy.channels
        interval = to_samples(self.settings.emotion.estimate_interval)
        channels = [
            None
            if modes.get(name) == "exclude"
            else ChannelProcessor(
                channel,
                make_segmenter(self.settings.segmentation, channel),
                new_stream,
                interval,
            )
            for channel, name in enumerate(info.channels)
        ]
        return SpeechProcessor(channels, wait=not info.live)

    @property
    def transcribes(self) -> bool:
        """Whether there is a transcriber at all."""
        return self.asr != NoTranscriber.name

    def new_state(self) -> "ConversationState":
        """The memory of a conversation that begins."""
        return self._classifier.new_state()

    async def process(self, speech: SpeechProcessor, *, last: bool = False) -> list[SpeechEvent]:
        """Process the audio that is buffered; all of it, if it was the last."""
        return await self._hear_together.submit(speech.finish if last else speech.process)

    def transcribe(self, samples: Samples) -> Transcription:
        """Begin to transcribe an utterance, and to embed its text."""
        work = Transcription()
        work.result = asyncio.get_running_loop().run_in_executor(
            self._scribe, self._transcribe, samples, work
        )
        return work

    def reads(self, language: str | None) -> bool:
        """Whether the bundle's text encoder knows a language; one that does not say knows all."""
        known = self.bundle.languages
        return not known or language is None or language in known

    async def embed_text(self, text: str) -> "Tensor | None":
        """The embedding of a transcript; None if the bundle has no text encoder."""
        return await self._run(self._mind, self._embed_text, text)

    def judge(
        self, window: "Window", *, live: bool, patient: bool = False
    ) -> "asyncio.Future[Prediction]":
        """Begin to judge the last utterance of a window (see `Judging`)."""
        return self._judging.submit(window, live=live, patient=patient)

    def _embed_text(self, text: str) -> "Tensor | None":
        return None if self._text_embedder is None else self._text_embedder([text])[0]

    def _transcribe(self, samples: Samples, work: Transcription) -> Transcribed:
        work.begun = True
        watch = Stopwatch()
        transcriber = self._free.get()
        try:
            transcript = transcriber.transcribe(samples, language=self.settings.asr.spoken)
        finally:
            self._free.put(transcriber)
        embedding = None
        if transcript.status == "ok" and self.reads(transcript.language):
            with contextlib.suppress(RuntimeError, ValueError):  # whoever needs it tries again
                embedding = self._embed_text(transcript.text)
        return Transcribed(transcript, embedding, watch.milliseconds())

    async def _run(
        self,
        executor: ThreadPoolExecutor,
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        future = asyncio.get_running_loop().run_in_executor(
            executor, lambda: function(*args, **kwargs)
        )
        return await future


def _process_all(
    calls: Sequence[Callable[[], list[SpeechEvent]]],
) -> list[list[SpeechEvent] | Exception]:
    """The events of each conversation; one that fails does not touch the others."""
    results: list[list[SpeechEvent] | Exception] = []
    for call in calls:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - raised where its conversation waits for it
            results.append(error)
    return results
