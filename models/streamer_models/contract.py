"""Contracts between the parts of a system and the program: shapes, units, receptive fields.

Audio is float32 in [-1, 1] at 16,000 Hz. B is the batch, T samples or tokens, L the utterances of a window, C classes.
Sequences stand at the start of their row; padding behind them, and the other rows of a batch, change no result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from streamer_models.config import SystemConfig
    from streamer_models.memory import ConversationState

Samples: TypeAlias = npt.NDArray[np.float32]
Modality = Literal["audio", "text", "video"]

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class UtteranceEmbedding:
    """One utterance as a conversation remembers it.

    An embedding is a float32 vector [size], or a sequence of them [steps, size] for systems that attend to frames and
    tokens. None stands for a modality that the utterance lacks.
    """

    speaker: int
    """Who speaks, by any number that stays the same through the conversation."""
    audio: Tensor | None = None
    text: Tensor | None = None
    video: Tensor | None = None

    def __post_init__(self) -> None:
        for embedding in (self.audio, self.text, self.video):
            if embedding is None:
                continue
            if embedding.ndim not in (1, 2) or embedding.dtype != torch.float32:
                raise ValueError("an embedding is a float32 vector or a sequence of them")
            if not embedding.numel() or not bool(embedding.isfinite().all()):
                raise ValueError("an embedding is empty or not finite")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities that the utterance has."""
        found: list[Modality] = []
        if self.audio is not None:
            found.append("audio")
        if self.text is not None:
            found.append("text")
        if self.video is not None:
            found.append("video")
        return tuple(found)


Window: TypeAlias = tuple[UtteranceEmbedding, ...]
"""Utterances in order, the last one being the one to classify."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The output of a system for B utterances."""

    logits: Tensor
    """[B, C]."""
    dimensions: Tensor | None = None
    """[B, D] in [-1, 1], in the order of the configuration's `dimensions`."""
    sounds: Tensor | None = None
    """Logits of the kind of sound, [B, kinds], in the order of the configuration's `sounds`, speech first."""


class AudioEncoder(Protocol):
    """A module from waveforms to embeddings of utterances."""

    config_class: ClassVar[Any]
    """An `EncoderConfig`."""

    @property
    def embedding_size(self) -> int:
        """Size of an embedding vector."""

    @property
    def receptive_field(self) -> int:
        """Samples that the first embedding vector depends on; a shorter utterance is continued by silence."""

    @property
    def max_samples(self) -> int:
        """Samples of the longest utterance; of a longer one the last so many are embedded."""

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed utterances.

        Args:
            wave: float32 [B, T].
            lengths: Samples of each utterance, int64 [B]; None: T.

        Returns:
            [B, embedding_size], or [B, steps, embedding_size] of a batch of one.
        """


class TextEncoder(Protocol):
    """A module from tokens to embeddings of texts."""

    config_class: ClassVar[Any]
    """An `EncoderConfig`."""

    @property
    def embedding_size(self) -> int:
        """Size of an embedding vector."""

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed texts.

        Args:
            ids: Token ids, int64 [B, T].
            mask: Which of them are real, bool [B, T].

        Returns:
            [B, embedding_size], or [B, T, embedding_size] of a batch of one.
        """


class ContextModel(Protocol):
    """A module that puts each utterance of a window into the context of the others."""

    def __call__(self, x: Tensor, has: Tensor, same_speaker: Tensor, mask: Tensor) -> Tensor:
        """Map embeddings [B, L, size] and three masks, bool [B, L] -> [B, L, width]."""


class Head(Protocol):
    """A module from vectors to scores."""

    def __call__(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., outputs]."""


class System(Protocol):
    """A published system: encoders of one utterance, and the classification of a window of utterances.

    An `nn.Module` that is built of its configuration alone. What classifies a stream sees the past only.
    """

    name: ClassVar[str]
    """Its name in the registry."""
    config_class: ClassVar[Any]
    """A `SystemConfig`."""

    @property
    def config(self) -> "SystemConfig":
        """Labels, sizes, encoders."""

    @property
    def window(self) -> int | None:
        """Utterances in a window, the present one counted; None: the whole conversation, which no stream has."""

    @property
    def audio(self) -> AudioEncoder | None:
        """The audio encoder; None if the system takes no audio."""

    @property
    def text(self) -> TextEncoder | None:
        """The text encoder; None if the system takes no text."""

    def classify(self, windows: Sequence[Window]) -> Scores:
        """Score the last utterance of each window, on the CPU; the windows may be of different conversations."""

    def new_state(self) -> "ConversationState":
        """Return the memory of a conversation that begins."""

    def state_dict(self) -> dict[str, Any]:
        """Return all weights by name."""


class AudioStream(Protocol):
    """One utterance's embedding while it is spoken.

    A result depends on the samples pushed before it, never on the sizes of the pieces they came in.
    """

    @property
    def look_back(self) -> int:
        """Samples that the end of an embedding may lie before the last one pushed."""

    def push(self, samples: Samples) -> None:
        """Take the samples that follow, any number of them."""

    def estimate(self) -> Tensor | None:
        """Embed what was pushed, or less of it where that is cheaper; None: it is too early."""

    def embedding(self, end: int | None = None) -> Tensor:
        """Return the embedding as if the utterance ended at a sample; None: at the last one pushed.

        Raises:
            ValueError: The end lies in the future or further back than `look_back`.
        """


@runtime_checkable
class Streaming(Protocol):
    """An audio encoder that works while the audio arrives, with the results of the whole utterance."""

    def streams(self) -> Callable[[], AudioStream]:
        """Prepare the weights once, for a stream for each utterance."""


@runtime_checkable
class Pooling(Protocol):
    """An audio encoder that pools frames: what parts of an utterance are encoded on their own is pooled as well."""

    def voiced_frames(self, wave: Tensor) -> Tensor:
        """Return the frames that hold speech, [N, size] with N >= 1, of samples [T]."""

    def pooled(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Return the embedding [embedding_size] by the mean and the standard deviation of frames, [size] each."""


@runtime_checkable
class HasFastForm(Protocol):
    """An encoder or system with a cheaper form for final weights, equal to it or nearly so."""

    def fast(self) -> Any:
        """Return the form: called like the encoder, or with the system's `classify`."""
