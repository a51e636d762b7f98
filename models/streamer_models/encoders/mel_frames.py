"""Log-mel frames, and their cepstra: an audio encoder without weights for systems that learn from frames."""

import math
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import EncoderConfig, Width
from streamer_models.contract import SAMPLE_RATE

_FFT = 512
_FLOOR = 1e-10


class MelFramesConfig(EncoderConfig):
    """Frames of 32 ms; the mean level of the utterance is taken off."""

    encoder: Literal["mel_frames"] = "mel_frames"
    embedding: Width = 64
    """Mel bands, or as many cepstral coefficients."""
    cepstra: bool = False
    hop: Annotated[int, Field(ge=80, le=1600)] = 160
    """Samples from frame to frame."""
    joined: Annotated[int, Field(ge=1, le=50)] = 3
    """Frames that are averaged to one."""
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 20.0
    """The longest utterance."""

    @model_validator(mode="after")
    def _consistent(self) -> "MelFramesConfig":
        if self.embedding > 128:
            raise ValueError("embedding: 128 bands at most")
        return self


class MelFrames(nn.Module):
    """Waveform -> log-mel frames, without the utterance's mean level; or MFCC by a cosine transform."""

    config_class: ClassVar = MelFramesConfig

    def __init__(self, config: MelFramesConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = config.embedding
        self.receptive_field = _FFT + (config.joined - 1) * config.hop
        self.max_samples = round(config.seconds * SAMPLE_RATE)
        self.mel: Tensor
        self.cosines: Tensor
        self.register_buffer("mel", mel_bands(config.embedding), persistent=False)
        self.register_buffer("cosines", cosine_transform(config.embedding), persistent=False)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed utterances.

        Args:
            wave: float32 [B, T] in [-1, 1].
            lengths: int64 [B], the samples of each; None: T.

        Returns:
            [B, F, embedding], zero behind an utterance's last frame; `frames_of` gives their number.
        """
        if lengths is None:
            lengths = torch.full((len(wave),), wave.shape[1], device=wave.device)
        rows = [self._frames(row[: int(n)]) for row, n in zip(wave, lengths, strict=True)]
        longest = max(map(len, rows))
        return torch.stack([nn.functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])

    def frames_of(self, samples: int) -> int:
        """Return frames of an utterance of so many samples."""
        short = max(0, samples - self.receptive_field)
        return 1 + short // (self.config.hop * self.config.joined)

    def _frames(self, wave: Tensor) -> Tensor:
        """[T] -> [F, embedding]."""
        missing = max(0, self.receptive_field - len(wave))
        padded = nn.functional.pad(wave, (0, missing))
        windows = padded.unfold(0, _FFT, self.config.hop)
        taper = torch.hann_window(_FFT, device=wave.device)
        power = torch.fft.rfft(windows * taper).abs().square()
        frames = (power @ self.mel.T + _FLOOR).log()
        whole = len(frames) // self.config.joined
        joined = frames[: whole * self.config.joined].view(whole, self.config.joined, -1).mean(1)
        levelled: Tensor = (joined - joined.mean()) / 4
        return levelled @ self.cosines.T if self.config.cepstra else levelled


def mel_bands(bands: int) -> Tensor:
    """Return triangular filters from 40 to 7,800 Hz on the bins of the transform, [bands, bins]."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (40.0, 7800.0))
    mel = torch.linspace(low, high, bands + 2, dtype=torch.float64, device="cpu")
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = torch.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1, dtype=torch.float64, device="cpu")
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


def cosine_transform(size: int) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II), [size, size]."""
    n = torch.arange(size, dtype=torch.float64, device="cpu")
    basis = torch.cos(math.pi / size * (n + 0.5) * n[:, None]) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis.float()
