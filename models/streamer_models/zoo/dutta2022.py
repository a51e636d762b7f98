"""All networks together, and the windows of utterances over which they judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import NetworkConfig, Width
from streamer_models.context.attention import ContextConfig, ContextEncoder
from streamer_models.context.fusion import Fusion, FusionConfig
from streamer_models.encoders.bert_gru import TextEncoder, TextEncoderConfig
from streamer_models.encoders.leaf_cnn import AudioEncoder, AudioEncoderConfig
from streamer_models.layers.recurrent import lengths_of

Label = Annotated[str, Field(min_length=1, max_length=32)]


class ConversationConfig(NetworkConfig):
    """The whole model. `window=None, speaker=False` is the paper's own: the conversation is its one window."""

    labels: Annotated[tuple[Label, ...], Field(min_length=2, max_length=64)] = (
        "angry",
        "happy",
        "sad",
        "neutral",
    )
    audio: AudioEncoderConfig | None = AudioEncoderConfig()
    """None: every utterance lacks audio."""
    text: TextEncoderConfig | None = TextEncoderConfig()
    """None: every utterance lacks text."""
    embedding: Width = 100
    """Size of an utterance's embedding in each modality."""
    context: ContextConfig = ContextConfig()
    fusion: FusionConfig = FusionConfig()
    window: Annotated[int, Field(ge=1, le=512)] | None = 16
    """An utterance is judged with those before it, as many as make this window; None: with all, later ones too."""
    speaker: bool = True
    """Whether the model is told who speaks: the same one as the present utterance's speaker, or another."""

    @model_validator(mode="after")
    def _consistent(self) -> "ConversationConfig":
        if self.audio is None and self.text is None:
            raise ValueError("a model needs audio, text, or both")
        for name, part in (("audio", self.audio), ("text", self.text)):
            if part is not None and part.embedding != self.embedding:
                raise ValueError(f"{name}.embedding must equal embedding")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must differ")
        if self.window is None and self.speaker:
            raise ValueError("speaker needs a window: without one no utterance is the present one")
        return self


@dataclass(frozen=True, slots=True)
class Windows:
    """A batch of B windows of up to L utterances, in order; padding stands behind the last, present one."""

    audio: Tensor
    """Embeddings [B, L, embedding]; ignored where `has_audio` is false, as `text` is."""
    text: Tensor
    has_audio: Tensor
    """bool [B, L]."""
    has_text: Tensor
    same_speaker: Tensor
    """Which utterances are by the speaker of the present one, bool [B, L]."""
    mask: Tensor
    """Which utterances are real, bool [B, L]."""

    @classmethod
    def joined(cls, parts: Sequence["Windows"]) -> "Windows":
        """The windows of several dialogues as one batch."""
        longest = max(part.mask.shape[1] for part in parts)

        def join(name: str) -> Tensor:
            tensors: list[Tensor] = [getattr(part, name) for part in parts]
            joined = tensors[0].new_zeros((sum(map(len, tensors)), longest, *tensors[0].shape[2:]))
            row = 0
            for tensor in tensors:
                joined[row : row + len(tensor), : tensor.shape[1]] = tensor
                row += len(tensor)
            return joined

        return cls(*map(join, cls.__slots__))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The N utterances of a conversation, in the order in which they ended."""

    audio: Tensor
    """Embeddings [N, embedding]; ignored where `has_audio` is false, as `text` is."""
    text: Tensor
    has_audio: Tensor
    """bool [N]."""
    has_text: Tensor
    speaker: Tensor
    """Who speaks: an integer for each utterance, [N]."""

    def windows(self, size: int) -> Windows:
        """Its N causal windows of up to `size` utterances: the n-th ends at, and judges, the n-th."""
        device = self.speaker.device
        ends = torch.arange(len(self.speaker), device=device)[:, None]
        starts = (ends - size + 1).clamp(min=0)
        index = starts + torch.arange(min(size, len(ends)), device=device)
        mask = index <= ends
        index = torch.minimum(index, ends)
        return Windows(
            audio=self.audio[index],
            text=self.text[index],
            has_audio=self.has_audio[index],
            has_text=self.has_text[index],
            same_speaker=self.speaker[index] == self.speaker[ends],
            mask=mask,
        )

    def whole(self) -> Windows:
        """All of it as one window."""
        every = torch.ones_like(self.has_text)
        parts = (self.audio, self.text, self.has_audio, self.has_text, every, every)
        return Windows(*(part[None] for part in parts))


class ConversationModel(nn.Module):
    """Utterances of a conversation -> the emotion each expresses.

    Used in two steps: `audio` and `text` embed utterances, `window` judges the present utterance of a window of
    embeddings (or `every`, all of a whole conversation at once, as the paper does).
    """

    def __init__(self, config: ConversationConfig) -> None:
        super().__init__()
        self.config = config
        self.audio = AudioEncoder(config.audio) if config.audio is not None else None
        self.text = TextEncoder(config.text) if config.text is not None else None
        self.audio_context, self.text_context = (
            ContextEncoder(config.embedding, config.context, speaker=config.speaker)
            for _ in range(2)
        )
        self.fusion = Fusion(2 * config.context.hidden, len(config.labels), config.fusion)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.config.labels

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.audio_context.missing.device

    def window(self, windows: Windows) -> Tensor:
        """Judge the present, which is the last, utterance of each window: logits [B, classes]."""
        text, audio = self._contexts(windows)
        out: Tensor = self.fusion(text, audio, windows.mask, lengths_of(windows.mask))
        return out

    def every(self, windows: Windows) -> Tensor:
        """Judge each utterance of each window by all of the window: logits [B, L, classes]."""
        text, audio = self._contexts(windows)
        out: Tensor = self.fusion(text, audio, windows.mask)
        return out

    def dialogue(self, dialogue: Dialogue) -> Tensor:
        """Judge all N utterances of a dialogue in the configured form: logits [N, classes]."""
        if self.config.window is None:
            return self.every(dialogue.whole())[0]
        return self.window(dialogue.windows(self.config.window))

    def _contexts(self, w: Windows) -> tuple[Tensor, Tensor]:
        text = self.text_context(w.text, w.has_text, w.same_speaker, w.mask)
        return text, self.audio_context(w.audio, w.has_audio, w.same_speaker, w.mask)
