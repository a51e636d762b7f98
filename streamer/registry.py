"""The extension points: sources, sinks, detectors and transcribers by name.

Each shipped one is a file and one line below. A package of its own announces one as an entry point of the group that
the table names; command-line options, `streamer doctor` and the tools read these tables. Encoders and systems have the
same tables in `streamer_models.registry`.

A name stands for "module:attribute". Sources, sinks and transcribers are a `Plugin`; a detector is a class that is
built with the settings of its own as keyword arguments. Modules here are imported when first asked for.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from streamer.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from streamer.clock import Clock
    from streamer.control import Control, LiveStatus
    from streamer.settings.tree import Audio, Settings

log = logging.getLogger(__name__)


class Option:
    """A command-line option of a plugin.

    Args:
        flag: The option, e.g. `--jsonl`.
        arguments: What `argparse` takes beside it: help, metavar, type, default, ...
    """

    def __init__(self, flag: str, **arguments: Any) -> None:
        self.flag = flag
        self.arguments = arguments

    @property
    def name(self) -> str:
        """The key of its value: `channels_in` for `--channels-in`."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def default(self) -> Any:
        """Value where it is not given."""
        flag = self.arguments.get("action") == "store_true"
        return self.arguments.get("default", False if flag else None)


@dataclass(frozen=True, slots=True)
class Health:
    """Condition of a plugin on this machine."""

    state: Literal["ok", "limited", "broken"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Plugin:
    """Factory of a source, a sink or a transcriber, and its command-line options.

    `make` is called with keyword arguments: one for each option that was given on the command line (by `Option.name`),
    and those of its kind, see `SINKS`, `SOURCES` and `TRANSCRIBERS`.
    """

    make: Callable[..., Any]
    options: tuple[Option, ...] = ()
    check: "Callable[[Settings], Health] | None" = None
    """For `streamer doctor`: whether it works; neither raises nor reaches the network."""
    commands: frozenset[str] = field(default=frozenset({"replay", "listen"}))
    """The commands that offer its options."""

    def chosen(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of its own options; the default of one that is not among them."""
        return {option.name: values.get(option.name, option.default) for option in self.options}


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Arguments of a source beside its own options."""

    audio: "Audio"
    clock: "Clock"
    speed: float = 1.0
    """Seconds of a recording for each second of the clock."""
    live: bool = False
    """Whether the audio comes at its own pace and cannot be made to wait."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Arguments of a sink beside its own options."""

    settings: "Settings"
    control: "Control | None" = None
    """How to steer a live conversation."""
    status: "LiveStatus | None" = None
    """How a live conversation is doing."""
    table: bool = True
    """Whether people look at standard output, and nothing else is written there."""


def _announced(group: str) -> tuple["EntryPoint", ...]:
    """Find the entry points of a group."""
    return _searched(group, tuple(sys.path))


@cache
def _searched(group: str, _path: tuple[str, ...]) -> tuple["EntryPoint", ...]:
    """Search all packages on the path, which takes some 40 ms."""
    from importlib.metadata import entry_points  # a third of what --help takes

    return tuple(entry_points(group=group))


class Registry:
    """Extensions of one kind by name, imported when first asked for.

    Args:
        kind: What they are, for messages.
        group: The entry points of other packages.
        own: Name -> "module:attribute", in the order in which they are offered.
    """

    def __init__(self, kind: str, group: str, own: Mapping[str, str]) -> None:
        self.kind, self.group, self.own = kind, group, dict(own)

    def names(self) -> tuple[str, ...]:
        """Return all names: those that come with streamer in their order, then the others sorted."""
        others = {entry.name for entry in _announced(self.group)} - self.own.keys()
        return (*self.own, *sorted(others))

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.names()

    def known(self, name: str) -> str:
        """Return the same name, checked; for settings.

        Raises:
            ValueError: There is no such extension.
        """
        if name not in self:
            raise ValueError(f"no such {self.kind}; there are {', '.join(self.names())}")
        return name

    def find(self, name: str) -> Any:
        """Return the extension of that name.

        Raises:
            UserError: There is none, it cannot be imported, or a package that it needs is missing.
        """
        if name in self.own:
            return self._own(name)
        for entry in (each for each in _announced(self.group) if each.name == name):
            try:
                return entry.load()
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise UserError(f"{self.kind} {name} ({entry.value}): {reason}") from error
        raise UserError(f"no {self.kind} {name[:100]!r}; there are {', '.join(self.names())}")

    def _own(self, name: str) -> Any:
        module, _, attribute = self.own[name].partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("streamer"):
                raise
            raise UserError(f"{self.kind} {name}: {missing(error)}") from None

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield every extension that can be loaded.

        Another package's that cannot is left out with a warning; one of streamer's own, whose extra is not installed,
        in silence: what uses it says so.
        """
        for name in self.names():
            try:
                yield name, self.find(name)
            except UserError as error:
                log.log(logging.DEBUG if name in self.own else logging.WARNING, "%s", error)


EXTRAS = {
    "sounddevice": "mic",
    "ctranslate2": "whisper",
    "huggingface_hub": "whisper",
    "fsspec": "archive",
    "pyarrow": "export",
    "ray": "ray",
    "zstandard": "archive",
    "prometheus_client": "web",
    "starlette": "web",
    "uvicorn": "web",
    "websockets": "web",
    "wyoming": "web",
}
"""Which extra brings a package; all others come with `analyze`."""


def missing(error: ModuleNotFoundError) -> str:
    """Return what to install for a package that could not be imported."""
    package = (error.name or "a package").partition(".")[0]
    extra = EXTRAS.get(package, "analyze")
    return f"needs {package}: pip install 'streamer-emotion[{extra}]'"


def whole_number(low: int, high: int, unit: str) -> Callable[[str], int]:
    """Make the type of an option that is a whole number within bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text[:100]}: expected {low} to {high} {unit}")
        return value

    return read


SOURCES = Registry(
    "source",
    "streamer.sources",
    {
        "recording": "streamer.sources.recording:PLUGIN",
        "microphone": "streamer.sources.microphone:PLUGIN",
        "stdin": "streamer.sources.standard_input:PLUGIN",
    },
)
"""`make(target, context=SourceContext, **options)`. Another package's is chosen by `NAME://...` on the command line."""


def source_name(target: str, default: str) -> str:
    """Name the source that a target asks for: `-` is standard input, `NAME://...` the source of that name."""
    scheme = target.partition("://")[0] if "://" in target else ""
    return "stdin" if target == "-" else scheme if scheme in SOURCES else default


SINKS = Registry(
    "sink",
    "streamer.sinks",
    {
        "jsonl": "streamer.sinks.jsonl:PLUGIN",
        "mqtt": "streamer.mqtt:PLUGIN",
        "systemd": "streamer.sinks.systemd:PLUGIN",
        "report": "streamer.sinks.report:PLUGIN",
        "webhook": "streamer.sinks.webhook:PLUGIN",
        "execute": "streamer.sinks.execute:PLUGIN",
        "metrics": "streamer.sinks.metrics:PLUGIN",
        "console": "streamer.sinks.console:PLUGIN",
    },
)
"""`make(context=SinkContext, **options)`; None if it was not asked for."""

ENDPOINTS = Registry(
    "endpoint",
    "streamer.endpoints",
    {
        "/ws": "streamer.web.ingest.websocket:serve",
        "/watch": "streamer.web.watching:serve",
        "/twilio": "streamer.web.ingest.twilio:serve",
        "/v1/listen": "streamer.web.ingest.deepgram:serve",
    },
)
"""WebSocket endpoints of `streamer serve` by path: `await serve(websocket, services)`."""

DETECTORS = Registry(
    "voice detector",
    "streamer.detectors",
    {
        "gated": "streamer.speech.detectors.gated:GatedDetector",
        "silero": "streamer.speech.detectors.silero:SileroDetector",
        "webrtcvad": "streamer.speech.detectors.webrtc:WebrtcDetector",
    },
)
"""`make(**options)`, the options being the section `detectors.NAME` of the settings."""

TRANSCRIBERS = Registry(
    "transcriber",
    "streamer.transcribers",
    {
        "whisper": "streamer.transcription.registry:WHISPER",
        "none": "streamer.transcription.registry:NONE",
    },
)
"""`make(asr, cores)`. `asr.backend: auto` tries those that come with streamer in this order."""
