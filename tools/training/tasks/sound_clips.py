"""Clips to learn sounds from, as power in mel bands, computed once and kept."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamer.audio import SAMPLE_RATE, Samples, to_samples
from streamer.errors import UserError
from streamer_models.encoders.log_mel import WINDOW, mel_power
from streamer_models.sound_network import BANDS
from tools.data.augmentation import telephone
from tools.data.decoding import decode
from tools.data.manifest import Clip, manifest_hash, read_manifest
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.tasks.sound_scenes import NOISE, SPEECH, Power, SoundClip, normalised

_CLASS_OF = {
    "laughing": "laugh", "amusement": "laugh", "sighing": "sigh", "crying": "cry", "coughing": "cough",
}  # fmt: skip
"""Labels of the corpora of sounds -> classes; their other labels are kinds of their own."""
_SOUNDS = ("deeply_nonverbal", "emogator")
_BABY = "baby_cry"
_RESPONSES = "rir"
_EACH = {"cremad": 12}
_FEW = 6
"""Clips of speech for each speaker of the other corpora that have emotions."""
_NOISE_S = 20
_MUSIC_S = 15
_PIECES = 2
"""Pieces of each recording of music."""
_PARTS = 3
_MUSIC = (".ogg", ".mp3", ".wav", ".flac")

_TONES = 60
"""Tones drawn: telephone networks have their own (ITU-T E.180), hold tones and beeps are anybody's."""


def held_out(group: str) -> bool:
    """Return whether a speaker or recording is kept apart: about one in three."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % _PARTS == 0


def tuned_on(group: str) -> bool:
    """Return whether one of those that are kept apart is of the half that thresholds were chosen on."""
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % 2 == 0


def group_of(clip: Clip) -> str:
    """Return the speaker of a clip, or the recording."""
    return clip.path if clip.corpus == NOISE else clip.speaker


def load_clips(speech: Path, music: Path, cache: Path) -> list[SoundClip]:
    """Return all clips, those that are kept apart among them.

    Args:
        speech: Folder of clips with a manifest.csv.
        music: Folder of recordings of music, searched through.
        cache: Where what was computed is kept.

    Raises:
        UserError: A folder does not hold that, or a file cannot be decoded.
    """
    songs = sorted(path for path in music.rglob("*") if path.suffix.lower() in _MUSIC)
    if not songs:
        raise UserError(f"{music}: no music here ({', '.join(_MUSIC)})")
    about = [manifest_hash(speech), *(f"{path.name}:{path.stat().st_size}" for path in songs)]
    digest = hashlib.sha256("\n".join(about).encode()).hexdigest()
    path = cache / f"sounds-{digest[:16]}.safetensors"
    if not path.is_file():
        _save(path, list(_computed(speech, songs)))
    return _load(path)


def _computed(speech: Path, songs: Iterable[Path]) -> Iterator[tuple[str, str, Samples]]:
    """Yield kind, group and samples of each clip."""
    for clip, kind in progress(list(chosen(read_manifest(speech))), "Clips"):
        wave = decode(speech / clip.path)
        yield kind, group_of(clip), wave[: _NOISE_S * SAMPLE_RATE] if kind == NOISE else wave
    rng = np.random.default_rng(0)
    length = _MUSIC_S * SAMPLE_RATE
    for song in progress(list(songs), "Music"):
        wave = decode(song)
        for _ in range(_PIECES):
            start = int(rng.integers(max(1, len(wave) - length)))
            yield "music", song.name, wave[start : start + length]


def tones(seed: int = 0) -> Iterator[SoundClip]:
    """Draw tones that come and go."""
    rng = np.random.default_rng(seed)
    for number in range(_TONES):
        hertz = rng.uniform(300, 1200) * np.array([1.0, rng.uniform(1.05, 1.4)])
        partials = hertz[: int(rng.integers(1, 3))].tolist()
        on, off = rng.uniform(0.25, 2.5), rng.choice([0.0, rng.uniform(0.2, 4.0)], p=(0.2, 0.8))
        wave = tone(partials, on, off)
        powers = normalised(mel(wave)), normalised(mel(telephone(wave)))
        yield SoundClip("tone", f"tone_{number}", powers)


def tone(hertz: Iterable[float], on: float, off: float) -> Samples:
    """Return 15 s of a tone that comes and goes."""
    time = np.arange(_MUSIC_S * SAMPLE_RATE) / SAMPLE_RATE
    wave = sum((np.sin(2 * np.pi * each * time) for each in hertz), np.zeros(len(time)))
    return np.asarray(0.1 * wave * (time % (on + off) < on), np.float32)


def chosen(clips: Iterable[Clip]) -> Iterator[tuple[Clip, str]]:
    """Yield clips that are used, and the kind of each."""
    taken: Counter[tuple[str, str]] = Counter()
    for clip in clips:
        if clip.corpus in _SOUNDS:
            yield clip, _CLASS_OF.get(clip.emotion, clip.emotion)
        elif clip.corpus == NOISE:
            if _RESPONSES not in clip.path:
                yield clip, "cry" if _BABY in clip.path else NOISE
        elif not clip.emotion:
            yield clip, SPEECH
        else:
            taken[clip.corpus, clip.speaker] += 1
            if taken[clip.corpus, clip.speaker] <= _EACH.get(clip.corpus, _FEW):
                yield clip, SPEECH


def mel(wave: Samples) -> Power:
    """Return the mel power [T, 40] of samples."""
    missing = max(0, to_samples(0.025) - len(wave), WINDOW - len(wave))
    return np.ascontiguousarray(mel_power(np.pad(wave, (0, missing)), BANDS).T)


def _save(path: Path, found: Iterable[tuple[str, str, Samples]]) -> None:
    kinds, groups, lengths = [], [], []
    powers: tuple[list[Power], list[Power]] = [], []
    for kind, group, wave in found:
        sides = normalised(mel(wave)), normalised(mel(telephone(wave)))
        kinds.append(kind)
        groups.append(group)
        lengths.append([len(side) for side in sides])
        for power, side in zip(powers, sides, strict=True):
            power.append(side)
    tensors = {
        name: torch.from_numpy(np.concatenate(power)).half()
        for name, power in zip(("plain", "telephone"), powers, strict=True)
    }
    save_checkpoint(path, tensors, {"kinds": kinds, "groups": groups, "lengths": lengths})


def _load(path: Path) -> list[SoundClip]:
    tensors, about = load_checkpoint(path)
    plain, narrow = (
        _split(tensors[name], [lengths[side] for lengths in about["lengths"]])
        for side, name in enumerate(("plain", "telephone"))
    )
    return [
        SoundClip(kind, group, (wide, thin))
        for kind, group, wide, thin in zip(
            about["kinds"], about["groups"], plain, narrow, strict=True
        )
    ]


def _split(power: Tensor, lengths: Sequence[int]) -> list[Power]:
    ends = np.cumsum(lengths)[:-1]
    return np.split(power.float().numpy(), ends)
