"""wav2vec 2.0, HuBERT and WavLM encoders of the hub: frames of 20 ms, by the package `transformers`.

The weights are too large for a bundle: it names them as a backbone (see `backbones`). Rows of a batch are encoded one
by one, since these networks normalise over the whole of a row.
"""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import EncoderConfig, FeedForward, Heads, Layers, Width
from streamer_models.contract import SAMPLE_RATE

_RECEPTIVE_FIELD = 400


class HubSpeechConfig(EncoderConfig):
    """Sizes; the defaults are those of the base models."""

    encoder: Literal["hub_speech"] = "hub_speech"
    architecture: Literal["wav2vec2", "hubert", "wavlm"] = "wav2vec2"
    embedding: Width = 768
    layers: Layers = 12
    heads: Heads = 12
    feed_forward: FeedForward = 3072
    convolution: Width = 512
    """Channels of the seven convolutions over the waveform."""
    large: bool = False
    """Layer norms first, and in the convolutions, as the large models have them."""
    last_layers: Layers = 4
    """Layers whose mean is a frame's vector."""
    seconds: Annotated[float, Field(ge=1, le=60)] = 20.0
    """The longest utterance."""

    @model_validator(mode="after")
    def _consistent(self) -> "HubSpeechConfig":
        if self.embedding % self.heads or self.embedding % 16:
            raise ValueError("embedding must be a multiple of heads and of 16")
        if self.last_layers > self.layers:
            raise ValueError("last_layers must not exceed layers")
        return self


class HubSpeech(nn.Module):
    """Waveform -> the mean of the last layers, a vector every 20 ms."""

    config_class: ClassVar = HubSpeechConfig
    receptive_field = _RECEPTIVE_FIELD

    def __init__(self, config: HubSpeechConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = config.embedding
        self.max_samples = round(config.seconds * SAMPLE_RATE)
        self.model = _model(config)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map waveforms float32 [B, T], lengths int64 [B] (None: T) -> [B, F, embedding], zero in the padding."""
        if lengths is None:
            lengths = torch.full((len(wave),), wave.shape[1])
        rows = [self._encode(row[: int(n)]) for row, n in zip(wave, lengths, strict=True)]
        longest = max(map(len, rows))
        return torch.stack([nn.functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])

    def _encode(self, wave: Tensor) -> Tensor:
        """[T] -> [F, embedding]."""
        level = (wave - wave.mean()) / (wave.var(correction=0) + 1e-7).sqrt()
        padded = nn.functional.pad(level, (0, max(0, _RECEPTIVE_FIELD - len(level))))
        outputs = self.model(padded[None], output_hidden_states=True)
        last: tuple[Tensor, ...] = outputs.hidden_states[-self.config.last_layers :]
        return torch.stack(last).mean(0)[0]


def _model(config: HubSpeechConfig) -> nn.Module:
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise ValueError("the audio encoder hub_speech needs the package transformers") from error
    sizes: dict[str, Any] = {
        "hidden_size": config.embedding,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "conv_dim": [config.convolution] * 7,
        "num_conv_pos_embedding_groups": 16,
        "feat_extract_norm": "layer" if config.large else "group",
        "do_stable_layer_norm": config.large,
        "conv_bias": config.large,
        "apply_spec_augment": False,
        "layerdrop": 0.0,
    }
    described = AutoConfig.for_model(config.architecture, **sizes)
    model: nn.Module = AutoModel.from_config(described)  # type: ignore[no-untyped-call]
    return model
