"""`python -m tools.train speaker-encoder`: GE2E's weights, and the voices of strangers.

The wheel: `pip download --no-deps resemblyzer==0.1.4`. Nothing of it is run, and its pickle is read as tensors only;
the weights are stored as they are. The strangers are the readers of LibriSpeech (`--speech`), each as recorded, over a
telephone and in a room: similarities are counted from how close the closest of them come.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from streamer.audio import to_samples
from streamer.errors import UserError
from streamer_models.speaker_encoder import SpeakerEncoder, load_speaker_encoder
from tools.data.augmentation import reverberate, synthetic_room, telephone
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.progress import progress

_WHEEL = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
_WEIGHTS = "resemblyzer/pretrained.pt"
_READERS = "librispeech_mini"
_LEFT_OUT, _LENGTH = to_samples(0.5), to_samples(2.8)
"""Of each clip: a silent beginning, and what is embedded."""
_LICENCE = "Resemblyzer-0.1.4.dist-info/LICENSE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("wheel", type=Path, help="Resemblyzer-0.1.4-py3-none-any.whl")
    parser.add_argument("--speech", type=Path, help="folder of clips with a manifest.csv")
    parser.add_argument("--out", type=Path, default=Path("models/pretrained/speaker-ge2e-1"))


def run(arguments: argparse.Namespace) -> None:
    """Convert the weights; print the SHA-256 that the program checks."""
    try:
        wheel = arguments.wheel.read_bytes()
    except OSError as error:
        raise UserError(f"{arguments.wheel}: {error.strerror}") from error
    if hashlib.sha256(wheel).hexdigest() != _WHEEL:
        raise UserError(f"{arguments.wheel}: not the wheel of resemblyzer 0.1.4")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        weights, licence = converted(archive.read(_WEIGHTS)), archive.read(_LICENCE)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "LICENSE").write_bytes(licence)
    (arguments.out / "weights.safetensors").write_bytes(weights)
    print(f"weights.safetensors: SHA-256 {hashlib.sha256(weights).hexdigest()}")
    if arguments.speech:
        voices = save({"voices": torch.from_numpy(strangers(arguments.speech)).half()})
        (arguments.out / "strangers.safetensors").write_bytes(voices)
        print(f"strangers.safetensors: SHA-256 {hashlib.sha256(voices).hexdigest()}")


def converted(checkpoint: bytes) -> bytes:
    """The weights of a checkpoint as safetensors, those of the training's loss left out."""
    state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), "cpu", weights_only=True)
    names = SpeakerEncoder().state_dict()
    return save({name: state["model_state"][name].contiguous() for name in names})


def strangers(speech: Path) -> NDArray[np.float32]:
    """The voices of the readers of LibriSpeech in three places each, [3 * readers, 256]."""
    encoder, rng = load_speaker_encoder(), np.random.default_rng(0)
    voices = []
    readers = [clip for clip in read_manifest(speech) if clip.corpus == _READERS]
    for clip in progress(sorted(readers, key=lambda clip: clip.path), "Embedding readers"):
        wave = decode(speech / clip.path)[_LEFT_OUT : _LEFT_OUT + _LENGTH]
        room = synthetic_room(float(rng.uniform(0.2, 0.6)), rng)
        places = wave, telephone(wave), reverberate(wave, room, float(rng.uniform(0, 9)))
        voices += [encoder.embed(place.astype(np.float32)) for place in places]
    return np.stack(voices)
