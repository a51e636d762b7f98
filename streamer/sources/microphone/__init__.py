"""Microphones."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamer.errors import UserError
from streamer.registry import Health, Option, Plugin, SourceContext, missing

if TYPE_CHECKING:
    from streamer.settings.tree import Settings
    from streamer.sources.microphone.source import MicrophoneSource

MAX_DEVICES = 8


def _make(
    _: str, *, context: SourceContext, device: Sequence[str], wait: bool
) -> "MicrophoneSource":
    if len(device) > MAX_DEVICES:
        raise UserError(f"--device: at most {MAX_DEVICES} microphones")
    if len(set(device)) < len(device):
        raise UserError("--device: a microphone is named twice")
    from streamer.sources.microphone.source import MicrophoneSource

    return MicrophoneSource(context.clock, device, channels=context.audio.channels, wait=wait)


def _check(_: "Settings") -> Health:
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        return Health("limited", missing(error))
    except OSError:
        linux = sys.platform == "linux"
        remedy = "sudo apt-get install libportaudio2" if linux else "install PortAudio"
        return Health("limited", "the PortAudio library is missing", remedy)
    inputs = [device for device in sounddevice.query_devices() if device["max_input_channels"]]
    if not inputs:
        return Health("limited", "no input device", "plug one in")
    names = ", ".join(str(device["name"]) for device in inputs[:5])
    return Health("ok", f"{len(inputs)}: {names}")


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--device",
            action="append",
            default=[],
            metavar="NAME|INDEX",
            help="microphone, by part of its name (`streamer devices`); several times: several speakers",
        ),
        Option("--wait", action="store_true", help="if the microphone is not there, wait for it"),
    ),
    check=_check,
    commands=frozenset({"listen"}),
)
