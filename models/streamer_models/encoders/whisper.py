"""Whisper's encoder (Radford et al., 2022) with gated statistics pooling: waveform -> embedding of the utterance.

The log-mel spectrogram is that of the utterance alone, at a fixed loudness, without the recogniser's padding to 30 s.
The outputs of several layers are pooled over the frames that hold speech: mean and deviation, then a projection.
"""

from functools import cache
from math import log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from streamer_models.config import (
    EncoderConfig,
    FeedForward,
    Heads,
    Layers,
    NetworkConfig,
    Probability,
    Width,
)
from streamer_models.layers.transformer import EncoderLayer

if TYPE_CHECKING:
    from streamer_models.fast.whisper import FastWhisper

SAMPLE_RATE = 16_000
WINDOW, HOP = 400, 160
"""Samples of a spectrum, and from one to the next."""

LOUDNESS_DB = -23.0
"""Loudness of every utterance before its analysis, in dB of full scale."""

_RELATIVE_GATE = 0.1
_SPEECH_GATE = 10**-2.5
"""Frames more than 25 dB under the loudness hold no speech."""

_MEL_STEP = log(6.4) / 27.0
_FLOOR = 1e-10
_DECADES = 8.0
"""Range of a spectrogram under its maximum."""

_LIMIT = 8.0
"""Deviations from the mean at which a statistic is cut off."""


class WhisperSizes(NetworkConfig):
    """Sizes of the encoder; the defaults are those of Whisper tiny without its last layer, which adds nothing."""

    mels: Annotated[int, Field(ge=8, le=128)] = 80
    width: Width = 384
    heads: Heads = 6
    layers: Layers = 3
    feed_forward: FeedForward = 1536
    positions: Annotated[int, Field(ge=8, le=1500)] = 1500
    """Vectors of 20 ms in the longest utterance."""
    pooled: Annotated[tuple[Layers, ...], Field(min_length=1, max_length=48)] = (1, 2, 3)
    """Layers whose outputs are pooled, the first one being 1."""

    @model_validator(mode="after")
    def _consistent(self) -> "WhisperSizes":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if max(self.pooled) > self.layers:
            raise ValueError("pooled must not exceed layers")
        return self


class WhisperConfig(WhisperSizes, EncoderConfig):
    """Sizes of the encoder, and of the head over its statistics."""

    encoder: Literal["whisper"] = "whisper"
    hidden: Width = 256
    dropout: Probability = 0.4


class WhisperBackbone(nn.Module):
    """Log-mel spectrogram -> the output of each layer, in inference equal to Whisper's own encoder."""

    def __init__(self, config: WhisperSizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(config.mels, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.positions = nn.Parameter(nn.init.zeros_(torch.empty(config.positions, config.width)))
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, 0.0, norm_first=True)
            for _ in range(config.layers)
        )

    def forward(self, mel: Tensor, wanted: Tensor | None = None) -> list[Tensor]:
        """Map a spectrogram to the outputs of each layer.

        Args:
            mel: [mels, F], F at most twice the positions.
            wanted: Places that are computed in the last layer, bool [ceil(F / 2)]; None: all.

        Returns:
            [ceil(F / 2), width] for each layer; of the last one the wanted places.
        """
        x = functional.gelu(_convolved(functional.gelu(_convolved(mel.T, self.conv1)), self.conv2))
        x = (x + self.positions[: len(x)])[None]
        outputs: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            last = wanted is not None and number == len(self.layers)
            x = layer(x, None, x[:, wanted] if last else None)
            outputs.append(x[0])
        return outputs


def _convolved(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """Compute a convolution of width 3 over [T, inputs] -> [ceil(T / stride), outputs] as one product of matrices.

    Every utterance has a length of its own, and torch's convolution is prepared again for each length.
    """
    windows = functional.pad(x, (0, 0, 1, 1)).unfold(0, 3, layer.stride[0])
    return functional.linear(windows.flatten(1), layer.weight.flatten(1), layer.bias)


class StatisticsHead(nn.Module):
    """Mean and deviation over time of several layers -> embedding in [-1, 1].

    `mean` and `deviation` standardise the statistics; training sets them from its data, without a gradient.
    """

    def __init__(self, inputs: int, hidden: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", nn.init.zeros_(torch.empty(inputs)))
        self.register_buffer("deviation", nn.init.ones_(torch.empty(inputs)))
        self.expand = nn.Linear(inputs, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, embedding)
        self.dropout = nn.Dropout(dropout)

    def forward(self, statistics: Tensor) -> Tensor:
        """[..., inputs] -> [..., embedding]."""
        scaled = ((statistics - self.mean) / self.deviation).clamp(-_LIMIT, _LIMIT)
        hidden = functional.gelu(self.norm(self.expand(self.dropout(scaled))))
        return torch.tanh(self.project(self.dropout(hidden)))


class PooledWhisper(nn.Module):
    """Waveform -> embedding of the utterance, which needs all of it, by the frames that an encoder gives.

    Args:
        config: Sizes.
        head: From the statistics of the frames to the embedding.
    """

    def __init__(self, config: WhisperConfig, head: StatisticsHead) -> None:
        super().__init__()
        self.config = config
        self.head = head

    @property
    def embedding_size(self) -> int:
        """Size of an embedding vector."""
        return self.config.embedding

    @property
    def receptive_field(self) -> int:
        """Samples of the shortest utterance; a shorter one is continued by silence."""
        return WINDOW

    @property
    def max_samples(self) -> int:
        """Samples of the longest utterance."""
        return 2 * HOP * self.config.positions

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed utterances, each on its own.

        Args:
            wave: float32 [B, T] in [-1, 1].
            lengths: Samples of each utterance, int64 [B]; None: T.

        Returns:
            [B, embedding].
        """
        ends = [wave.shape[1]] * len(wave) if lengths is None else lengths.tolist()
        rows = [self.statistics(row[:end]) for row, end in zip(wave, ends, strict=True)]
        return torch.stack([self.head(row) for row in rows])  # one by one: rounding knows no others

    def statistics(self, wave: Tensor) -> Tensor:
        """Return mean and deviation of the pooled layers over the speech of an utterance.

        Args:
            wave: float32 [T]; of a longer one than `max_samples` the end counts.

        Returns:
            [2 * pooled layers * width]: for each layer its means, then its deviations.
        """
        frames = self._voiced(wave)
        mean = frames.mean(dim=1)
        deviation = (frames - mean[:, None]).square().mean(dim=1).sqrt()  # faster than `std`
        return torch.stack((mean, deviation), dim=1).flatten()

    def voiced_frames(self, wave: Tensor) -> Tensor:
        """See `Pooling.voiced_frames`: [N, pooled layers * width]."""
        return self._voiced(wave).transpose(0, 1).flatten(1)

    def pooled(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """See `Pooling.pooled`."""
        moments = torch.stack([mean, deviation]).view(2, len(self.config.pooled), -1)
        embedding: Tensor = self.head(moments.transpose(0, 1).flatten())
        return embedding

    def encoded(self, mel: Tensor, speech: Tensor) -> Tensor:
        """Return what the layers that are pooled give where there is speech.

        Args:
            mel: Spectrogram [mels, F].
            speech: Its frames that hold speech, N of bool [ceil(F / 2)].

        Returns:
            float32 [pooled layers, N, width].
        """
        raise NotImplementedError

    def _voiced(self, wave: Tensor) -> Tensor:
        """[pooled layers, N, width] of samples [T]."""
        mel = _spectrogram(wave, self.config)
        return self.encoded(mel, speech_frames(mel))


class Whisper(PooledWhisper):
    """The encoder itself.

    Args:
        config: Sizes.
    """

    config_class: ClassVar[type[WhisperConfig]] = WhisperConfig

    def __init__(self, config: WhisperConfig | None = None) -> None:
        sizes = config or WhisperConfig()
        statistics = 2 * len(sizes.pooled) * sizes.width
        backbone = WhisperBackbone(sizes)
        head = StatisticsHead(statistics, sizes.hidden, sizes.embedding, sizes.dropout)
        super().__init__(sizes, head)
        self.backbone = backbone
        self.reduced_precision = has_bfloat16()
        """Whether the backbone multiplies in bfloat16: errors of half a percent, at 40 % of the time."""

    def encoded(self, mel: Tensor, speech: Tensor) -> Tensor:
        """See `PooledWhisper.encoded`."""
        outputs = _outputs(self.backbone, mel, speech, reduced_precision=self.reduced_precision)
        outputs[:-1] = [output[speech] for output in outputs[:-1]]
        return torch.stack([outputs[number - 1] for number in self.config.pooled]).float()

    def fast(self) -> "Whisper | FastWhisper":
        """See `HasFastForm.fast`: itself where it is not on a CPU."""
        from streamer_models.fast.whisper import FastWhisper

        return FastWhisper(self) if self.head.mean.device.type == "cpu" else self


def encoded(
    backbone: WhisperBackbone, config: WhisperSizes, wave: Tensor, *, reduced_precision: bool
) -> tuple[Tensor, Tensor]:
    """Return the outputs of the pooled layers, a vector every 20 ms, and which of these hold speech.

    Args:
        backbone: The encoder.
        config: Its sizes.
        wave: float32 [T]; of a longer one than the positions allow the end counts.
        reduced_precision: Multiply in bfloat16 on the CPU.

    Returns:
        float32 [pooled layers, N, width], and bool [N].
    """
    mel = _spectrogram(wave, config)
    outputs = _outputs(backbone, mel, None, reduced_precision=reduced_precision)
    layers = torch.stack([outputs[number - 1] for number in config.pooled]).float()
    return layers, speech_frames(mel)


def _spectrogram(wave: Tensor, config: WhisperSizes) -> Tensor:
    return log_mel(at_fixed_loudness(wave[-2 * HOP * config.positions :]), config.mels)


def _outputs(
    backbone: WhisperBackbone, mel: Tensor, wanted: Tensor | None, *, reduced_precision: bool
) -> list[Tensor]:
    reduced = reduced_precision and mel.device.type == "cpu"
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        outputs: list[Tensor] = backbone(mel, wanted)
    return outputs


@cache
def has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 natively; emulated, it is slower than float32."""
    return any(
        getattr(torch.cpu, name, lambda: False)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def at_fixed_loudness(wave: Tensor) -> Tensor:
    """Scale samples [T] to `LOUDNESS_DB`, measured without pauses (gated as in ITU-R BS.1770, unweighted)."""
    whole = len(wave) // HOP * HOP
    powers = wave[:whole].view(-1, HOP).square().mean(dim=1)
    if not whole or float(powers.max()) < _FLOOR:
        return wave
    loudness = powers[powers >= powers.mean() * _RELATIVE_GATE].mean()
    return wave * (10 ** (LOUDNESS_DB / 20) / loudness.sqrt())


def log_mel(wave: Tensor, mels: int = 80) -> Tensor:
    """Return Whisper's log-mel spectrogram [mels, T // 160] of samples [T]; fewer than 400 are continued by silence."""
    padded = functional.pad(wave, (0, max(0, WINDOW - len(wave))))
    window = torch.hann_window(WINDOW, device=wave.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)[:, :-1]
    energies = mel_filters(mels).to(wave.device) @ spectrum.abs().square()
    decades = energies.clamp(min=_FLOOR).log10()
    return (torch.maximum(decades, decades.max() - _DECADES) + 4.0) / 4.0


def speech_frames(mel: Tensor) -> Tensor:
    """Return frames of the encoder that hold speech, bool [ceil(F / 2)], by the energy of a spectrogram [mels, F].

    All of them where fewer than two do.
    """
    energies = ((mel * 4.0 - 4.0) * log(10.0)).logsumexp(dim=0)
    powers = functional.max_pool1d(energies[None], 3, stride=2, padding=1)[0].exp()
    loudness = powers[powers >= powers.mean() * _RELATIVE_GATE].mean()
    speech = powers > loudness * _SPEECH_GATE
    return speech if int(speech.sum()) > 1 else torch.ones_like(speech)


@cache
def mel_filters(mels: int) -> Tensor:
    """Return triangular filters [mels, 201] of area one, evenly spaced on Slaney's scale (Auditory Toolbox, 1998)."""
    nyquist = SAMPLE_RATE / 2
    highest = 15.0 + log(nyquist / 1000.0) / _MEL_STEP
    edges = _hertz(torch.linspace(0.0, highest, mels + 2, dtype=torch.float64))
    bins = torch.linspace(0.0, nyquist, WINDOW // 2 + 1, dtype=torch.float64)
    ramps, widths = edges[:, None] - bins, edges.diff()
    triangles = torch.minimum(-ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None])
    return (triangles.clamp(min=0.0) * (2.0 / (edges[2:] - edges[:-2]))[:, None]).float()


def _hertz(mel: Tensor) -> Tensor:
    """Slaney's scale: linear below 1 kHz, which is 15 mel, logarithmic above."""
    return torch.where(mel < 15.0, mel * (200.0 / 3.0), 1000.0 * (_MEL_STEP * (mel - 15.0)).exp())
