"""Dutta & Ganapathy, "Multimodal transformer with learnable frontend and self attention for emotion recognition".

ICASSP 2022. LEAF-CNN and BERT-GRU embed utterances; a bidirectional GRU with self-attention puts each modality's
embeddings into context; a transformer over both modalities fuses them.

Deviations: windows of past utterances instead of the whole conversation (`window=None, speaker=False` is the paper's
own form), the speaker's identity, a learned vector for a missing modality, the paper's row softmax where its released
code normalises columns, masked padding.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models import registry
from streamer_models.config import AudioConfig, SystemConfig, TextConfig, Width
from streamer_models.context.attention import ContextConfig, ContextEncoder
from streamer_models.context.fusion import Fusion, FusionConfig
from streamer_models.contract import Scores, Window
from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.encoders.leaf_cnn import LeafCnnConfig
from streamer_models.layers.recurrent import lengths_of
from streamer_models.memory import ConversationState
from streamer_models.windows import Dialogue, WindowBatch

if TYPE_CHECKING:
    from streamer_models.fast.dutta2022 import FastDutta2022


class Dutta2022Config(SystemConfig):
    """Sizes of the whole model; the defaults are the paper's, but for `window` and `speaker`."""

    audio: AudioConfig | None = LeafCnnConfig()
    text: TextConfig | None = BertGruConfig()
    embedding: Width = 100
    """Size of an utterance's embedding in each modality."""
    context: ContextConfig = ContextConfig()
    fusion: FusionConfig = FusionConfig()
    window: Annotated[int, Field(ge=1, le=512)] | None = 16
    """Utterances that one is classified with, itself counted, the others before it; None: all, later ones too."""
    speaker: bool = True
    """Whether the model knows which utterances are by the speaker of the present one."""

    @model_validator(mode="after")
    def _consistent(self) -> "Dutta2022Config":
        for name, part in (("audio", self.audio), ("text", self.text)):
            if part is not None and part.embedding != self.embedding:
                raise ValueError(f"{name}.embedding must equal embedding")
        if self.window is None and self.speaker:
            raise ValueError("speaker needs a window: without one no utterance is the present one")
        return self


class Dutta2022(nn.Module):
    """Utterances of a conversation -> the emotion each expresses.

    Used in two steps: `audio` and `text` embed utterances; `last` scores the present utterance of windows of
    embeddings (or `every`, all of a whole conversation at once, as the paper does).
    """

    name: ClassVar = "dutta2022"
    config_class: ClassVar = Dutta2022Config

    def __init__(self, config: Dutta2022Config) -> None:
        super().__init__()
        self.config = config
        self.audio = registry.make_audio_encoder(config.audio)
        self.text = registry.make_text_encoder(config.text)
        self.audio_context, self.text_context = (
            ContextEncoder(config.embedding, config.context, speaker=config.speaker)
            for _ in range(2)
        )
        self.fusion = Fusion(
            2 * config.context.hidden,
            len(config.labels),
            config.fusion,
            dimensions=len(config.dimensions),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.config.labels

    @property
    def window(self) -> int | None:
        """Utterances in a window; None: the whole conversation."""
        return self.config.window

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.audio_context.missing.device

    def classify(self, windows: Sequence[Window]) -> Scores:
        """Score the last utterance of each window."""
        return self.score(WindowBatch.of(windows, self.config.embedding, self.device))

    def new_state(self) -> ConversationState:
        """Return the memory of a conversation that begins."""
        return ConversationState(self.config.window or 1)

    def fast(self) -> "FastDutta2022":
        """Return the form for inference; the weights are final."""
        from streamer_models.fast.dutta2022 import FastDutta2022

        return FastDutta2022(self)

    def score(self, windows: WindowBatch) -> Scores:
        """Score the present, which is the last, utterance of each window."""
        text, audio = self._contexts(windows)
        scores: Scores = self.fusion(text, audio, windows.mask, lengths_of(windows.mask))
        return scores

    def last(self, windows: WindowBatch) -> Tensor:
        """Return logits [B, classes] of the present, which is the last, utterance of each window."""
        return self.score(windows).logits

    def every(self, windows: WindowBatch) -> Tensor:
        """Return logits [B, L, classes] of each utterance of each window, by all of the window."""
        text, audio = self._contexts(windows)
        scores: Scores = self.fusion(text, audio, windows.mask)
        return scores.logits

    def dialogue(self, dialogue: Dialogue) -> Tensor:
        """Return logits [N, classes] of all utterances of a dialogue, in the configured form."""
        if self.config.window is None:
            return self.every(dialogue.whole())[0]
        return self.last(dialogue.windows(self.config.window))

    def _contexts(self, w: WindowBatch) -> tuple[Tensor, Tensor]:
        text = self.text_context(w.text, w.has_text, w.same_speaker, w.mask)
        return text, self.audio_context(w.audio, w.has_audio, w.same_speaker, w.mask)
