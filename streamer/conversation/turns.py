"""The order of a conversation's utterances, and the context that each is classified in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.transcription.ahead import EmbeddedTranscript

if TYPE_CHECKING:
    import asyncio

    from torch import Tensor

    from streamer.conversation.video import VideoFeatures
    from streamer.runtime.models import Runtime
    from streamer_models.classifier import Prediction
    from streamer_models.contract import UtteranceEmbedding, Window


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """What was classified of an utterance that goes on."""

    audio: "Tensor"
    speaker: str | None
    prediction: "asyncio.Future[Prediction]"

    def is_of(self, audio: "Tensor") -> bool:
        """Return whether it was the same embedding; one of another process is never the same object."""
        return self.audio.shape == audio.shape and bool((self.audio == audio).all())

    @property
    def is_usable(self) -> bool:
        """Whether the prediction is there or will be."""
        done = self.prediction.done()
        return not done or not (self.prediction.cancelled() or self.prediction.exception())


class Turns:
    """The utterances of one conversation, numbered in the order in which they ended.

    Args:
        runtime: the models.
        live: whether results are wanted soon, rather than the same to the last bit each time.
        video: features of the recording's video, if there are any.
    """

    def __init__(
        self, runtime: "Runtime", *, live: bool, video: "VideoFeatures | None" = None
    ) -> None:
        self._runtime = runtime
        self._live = live
        self._video = video
        self._state = runtime.new_state()
        self._speakers: dict[str, int] = {}
        self._unfinished: dict[int, _Unfinished] = {}
        """By channel, what was classified last, as long as the context is the same."""

    def add(
        self,
        channel: int,
        audio: "Tensor | None",
        span: tuple[int, int] = (0, 0),
        speaker: str | None = None,
    ) -> int:
        """Add an utterance that ended to the context; return its number.

        Args:
            channel: the channel.
            audio: its embedding.
            span: its first sample and the one after its last, of which the video counts.
            speaker: who speaks; None: the channel stands for its speaker.
        """
        self._unfinished.clear()
        return self._state.add(self._embedding(channel, audio, span, speaker))

    def classify(self, number: int) -> "asyncio.Future[Prediction]":
        """Begin to classify an utterance by what is known of it and of those before it."""
        return self._submit(self._state.window(number))

    def classify_unfinished(
        self,
        channel: int,
        audio: "Tensor",
        span: tuple[int, int] = (0, 0),
        speaker: str | None = None,
    ) -> "asyncio.Future[Prediction]":
        """Begin to classify an utterance that goes on; it does not become part of the context.

        Encoders make a new estimate after 1, 2, 4 s; between, the last prediction is the answer.
        """
        last = self._unfinished.get(channel)
        if last and last.speaker == speaker and last.is_of(audio) and last.is_usable:
            return last.prediction
        window = self._state.window_with(self._embedding(channel, audio, span, speaker))
        prediction = self._submit(window, may_wait=True)
        if self._video is None:
            self._unfinished[channel] = _Unfinished(audio, speaker, prediction)
        return prediction

    async def add_text(self, number: int, text: EmbeddedTranscript) -> bool:
        """Add the text of an utterance to the context; return whether the model can use it.

        Raises:
            LookupError: if the utterance has left the context.
            RuntimeError: if the text cannot be embedded.
            ValueError: if the text cannot be embedded.
        """
        embedding = text.embedding
        if embedding is None:  # could not be embedded ahead
            if text.transcript.status != "ok":
                return False
            embedding = await self._runtime.embed_text(text.transcript)
        if embedding is None:
            return False
        self._unfinished.clear()
        self._state.set_text(number, embedding)
        return True

    def _embedding(
        self, channel: int, audio: "Tensor | None", span: tuple[int, int], speaker: str | None
    ) -> "UtteranceEmbedding":
        from streamer_models.contract import UtteranceEmbedding

        number = channel
        if speaker is not None:
            number = self._speakers.setdefault(speaker, len(self._speakers))
        video = None if self._video is None else self._video.of_utterance(channel, *span)
        return UtteranceEmbedding(number, audio=audio, video=video)

    def _submit(self, window: "Window", *, may_wait: bool = False) -> "asyncio.Future[Prediction]":
        return self._runtime.classify(window, live=self._live, may_wait=may_wait)
