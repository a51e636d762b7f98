"""Diagnosis of this machine: one check for each part, none of which may raise or reach the network."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from streamer import __version__, cores
from streamer.errors import UserError
from streamer.registry import DETECTORS, SINKS, SOURCES, TRANSCRIBERS, Health, Plugin, missing
from streamer.settings.tree import Settings

State = Literal["ok", "limited", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Condition of one part."""

    part: str
    state: State
    """ok; limited: something optional does not work; broken: recordings cannot be analysed."""
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the diagnosis as JSON holds it."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Check all parts."""
    findings = [_guarded(part, check, settings) for part, check in _CHECKS.items()]
    return [*findings, *_plugins(settings)]


def _guarded(part: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except ModuleNotFoundError as error:
        return Finding(part, "broken", *missing(error).split(": ", 1))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is what is asked for
        message = " ".join(str(error).split()) or type(error).__name__
        return Finding(part, "broken", message, "reinstall streamer and what it depends on")


def _program(_: Settings) -> Finding:
    python = platform.python_version()
    return Finding(
        "program", "ok", f"streamer {__version__}, Python {python}, {cores.available()} cores"
    )


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
    labels = ", ".join(bundle.labels)
    return Finding(
        "emotion model", "ok", f"{bundle.name} {bundle.version} ({labels}) from {directory}"
    )


def _transcription(settings: Settings) -> Finding:
    backend = settings.asr.backend
    name = next(iter(TRANSCRIBERS.own)) if backend == "auto" else backend
    return _health("transcription", TRANSCRIBERS.find(name), settings)


def _health(part: str, plugin: Plugin, settings: Settings) -> Finding:
    health = plugin.check(settings) if plugin.check else Health("ok", "installed")
    return Finding(part, health.state, health.detail, health.remedy)


def _plugins(settings: Settings) -> list[Finding]:
    """Return what other packages add: whether it can be loaded, and works."""
    findings: list[Finding] = []
    for registry in (SOURCES, SINKS, DETECTORS, TRANSCRIBERS):
        for name in registry.names()[len(registry.own) :]:
            part = f"{registry.kind} {name}"
            try:
                plugin = registry.find(name)
            except UserError as error:
                findings.append(
                    Finding(part, "limited", str(error), "repair or remove its package")
                )
                continue
            if isinstance(plugin, Plugin):
                findings.append(_guarded(part, partial(_health, part, plugin), settings))
            else:
                findings.append(Finding(part, "ok", "installed"))
    return findings


def _torch(_: Settings) -> Finding:
    import torch

    where = "on the CPU, which is enough"
    if torch.cuda.is_available():
        where = f"GPU {torch.cuda.get_device_name()}"
    return Finding("torch", "ok", f"{torch.__version__}, {where}")


_CHECKS: dict[str, Callable[[Settings], Finding]] = {
    "program": _program,
    "recordings": lambda settings: _health("recordings", SOURCES.find("recording"), settings),
    "voice detection": _detector,
    "emotion model": _bundle,
    "transcription": _transcription,
    "microphones": lambda settings: _health("microphones", SOURCES.find("microphone"), settings),
    "torch": _torch,
}
