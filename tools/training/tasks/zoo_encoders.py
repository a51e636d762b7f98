"""The frozen encoders that the systems of the zoo learn on: those of a bundle, or log-mel frames of the waveform."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_gru import BertGru, BertSizes
from streamer_models.encoders.bert_tokens import BertTokens, BertTokensConfig
from streamer_models.encoders.ge2e import load_ge2e
from streamer_models.encoders.mel_frames import MelFrames, MelFramesConfig
from streamer_models.encoders.speaker_frames import SpeakerFrames, SpeakerFramesConfig
from streamer_models.encoders.whisper import Whisper, WhisperSizes
from streamer_models.encoders.whisper_frames import WhisperFrames, WhisperFramesConfig
from streamer_models.tokenizer import TextTokenizer
from tools.progress import progress

MAX_TOKENS = 48
"""Longer texts are cut here."""

_BATCH = 32
"""Texts that go through the encoder together."""

AudioFrames = MelFrames | WhisperFrames | SpeakerFrames


@dataclass(frozen=True)
class FrozenText:
    """A text encoder that gives a vector for each token.

    Attributes:
        tokens: The encoder.
        tokenizer: Its own.
    """

    tokens: BertTokens
    tokenizer: TextTokenizer

    @cached_property
    def identity(self) -> dict[str, object]:
        """What its output depends on."""
        return {"weights": weights_hash(self.tokens), "tokens": self.tokenizer.max_tokens}

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> list[Tensor]:
        """Tokens [N, width] of each text, float16; texts of similar length go through the encoder together."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        rows = {}
        for start in progress(range(0, len(order), _BATCH), "Reading"):
            places = order[start : start + _BATCH]
            ids, mask = self.tokenizer([texts[place] for place in places])
            for place, row, real in zip(places, self.tokens(ids, mask), mask, strict=True):
                rows[place] = row[real].half()
        return [rows[place] for place in range(len(texts))]


def frozen_text(bundle: Bundle) -> FrozenText:
    """Return the encoder of a bundle's texts, without what follows its tokens.

    Raises:
        UserError: The bundle has no BERT-type encoder.
    """
    encoder, tokenizer = bundle.model.text, bundle.tokenizer
    if not isinstance(encoder, BertGru | BertTokens) or tokenizer is None:
        raise UserError(f"bundle {bundle.name}: no text encoder whose tokens could be used")
    sizes = encoder.config.model_dump(include=set(BertSizes.model_fields))
    most = min(MAX_TOKENS, encoder.config.max_tokens)
    config = BertTokensConfig(**{**sizes, "max_tokens": most}, embedding=encoder.config.width)
    tokens = BertTokens(config)
    tokens.bert.load_state_dict(encoder.bert.state_dict())
    return FrozenText(
        tokens.eval().requires_grad_(requires_grad=False),
        TextTokenizer(tokenizer.definition, most),
    )


def whisper_frames(bundle: Bundle) -> WhisperFrames:
    """Return the frames of a bundle's Whisper encoder, not standardised yet.

    Raises:
        UserError: The bundle has no such encoder.
    """
    encoder = bundle.model.audio
    if not isinstance(encoder, Whisper | WhisperFrames):
        raise UserError(f"bundle {bundle.name}: no Whisper encoder whose frames could be used")
    sizes = encoder.config.model_dump(include=set(WhisperSizes.model_fields))
    frames = WhisperFrames(WhisperFramesConfig(**sizes, embedding=encoder.config.width))
    frames.backbone.load_state_dict(encoder.backbone.state_dict())
    return frames.eval().requires_grad_(requires_grad=False)


def speaker_frames() -> SpeakerFrames:
    """Return the frames of the speaker encoder that comes with the program, not standardised yet."""
    frames = SpeakerFrames(SpeakerFramesConfig())
    frames.network.load_state_dict(load_ge2e().state_dict())
    return frames.eval().requires_grad_(requires_grad=False)


def mel_frames(bands: int, *, cepstra: bool) -> MelFrames:
    """Log-mel frames, or their cepstra, of so many values."""
    return MelFrames(MelFramesConfig(embedding=bands, cepstra=cepstra)).eval()


@torch.inference_mode()
def frames_of(encoder: AudioFrames, wave: Tensor) -> Tensor:
    """Frames [F, embedding] of samples [T], float16, not standardised."""
    if isinstance(encoder, MelFrames):
        made: Tensor = encoder(wave[None])[0]
        return made.half()
    return encoder.frames(wave).half()


def standardise(encoder: AudioFrames, learnt: list[Tensor], *others: list[Tensor]) -> None:
    """Set the encoder's mean and deviation by the frames that are learnt from, and apply them to all, in place."""
    if isinstance(encoder, MelFrames):
        return
    total = torch.cat([frames.float() for frames in learnt])
    encoder.mean.copy_(total.mean(dim=0))
    encoder.deviation.copy_(total.std(dim=0).clamp(min=1e-3))
    for rows in (learnt, *others):
        rows[:] = [encoder.standardised(frames.float()).half() for frames in rows]


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over a module's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
