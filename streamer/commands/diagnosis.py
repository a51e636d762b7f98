"""What works on this machine: one check for each part, none of which may raise or reach the network."""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from streamer import __version__
from streamer.errors import UserError
from streamer.settings.tree import Settings

State = Literal["ok", "limited", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part is."""

    part: str
    state: State
    """ok; limited: something optional does not work; broken: recordings cannot be analysed."""
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Check all parts."""
    return [_guarded(part, check, settings) for part, check in _CHECKS.items()]


def _guarded(part: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is what is asked for
        message = " ".join(str(error).split()) or type(error).__name__
        return Finding(part, "broken", message, "reinstall streamer and what it depends on")


def _program(_: Settings) -> Finding:
    import torch

    return Finding(
        "program",
        "ok",
        f"streamer {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{len(os.sched_getaffinity(0))} cores",
    )


def _decoding(_: Settings) -> Finding:
    import av

    formats = ("wav", "mp3", "flac", "ogg", "mov")
    missing = [name for name in formats if name not in av.formats_available]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    if missing:
        return Finding("recordings", "limited", f"cannot read {', '.join(missing)}", "reinstall av")
    return Finding("recordings", "ok", f"wav, mp3, flac, ogg/opus, m4a (libavcodec {version})")


def _detector(settings: Settings) -> Finding:
    import numpy as np

    from streamer.audio import FRAME
    from streamer.speech.registry import make_detector

    make_detector(settings.segmentation)(np.zeros((1, FRAME), np.float32))
    return Finding("voice detection", "ok", settings.segmentation.detector)


def _bundle(settings: Settings) -> Finding:
    from streamer_models.bundle import Bundle, BundleError, find_bundle

    try:
        directory = find_bundle(settings.emotion.bundle)
        bundle = Bundle.load(directory)
    except BundleError as error:
        return Finding("emotion model", "broken", str(error), "set emotion.bundle")
    labels = ", ".join(bundle.model.labels)
    return Finding(
        "emotion model", "ok", f"{bundle.name} {bundle.version} ({labels}) from {directory}"
    )


def _transcription(settings: Settings) -> Finding:
    from streamer.transcription import whisper_models

    asr = settings.asr
    if asr.backend == "none":
        return Finding("transcription", "ok", "off (asr.backend: none)")
    try:
        found = whisper_models.find(asr.model, language=asr.language)
    except UserError as error:
        return Finding("transcription", "limited", str(error), "set asr.model")
    if found is None:
        name = whisper_models.wanted(asr.model, language=asr.language)
        detail = f"whisper model {name} is not on this machine: labels come from audio alone"
        return Finding("transcription", "limited", detail, whisper_models.advice(name))
    detail = f"whisper {found.name} ({found.megabytes():.0f} MB, from the {found.origin})"
    better = "base makes fewer mistakes at twice the work: streamer models list"
    return Finding("transcription", "ok", detail, better if found.name.startswith("tiny") else "")


def _microphone(_: Settings) -> Finding:
    try:
        import sounddevice
    except OSError:
        return Finding(
            "microphones",
            "limited",
            "the PortAudio library is missing",
            "sudo apt-get install libportaudio2"
            if sys.platform == "linux"
            else "install PortAudio",
        )
    inputs = [device for device in sounddevice.query_devices() if device["max_input_channels"]]
    if not inputs:
        return Finding("microphones", "limited", "no input device", "plug one in")
    names = ", ".join(str(device["name"]) for device in inputs[:5])
    return Finding("microphones", "ok", f"{len(inputs)}: {names}")


def _accelerator(_: Settings) -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "ok", torch.cuda.get_device_name())
    return Finding("GPU", "ok", "none; the models run on the CPU, which is enough")


_CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "program": _program,
    "recordings": _decoding,
    "voice detection": _detector,
    "emotion model": _bundle,
    "transcription": _transcription,
    "microphones": _microphone,
    "GPU": _accelerator,
}
