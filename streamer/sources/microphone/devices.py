"""The sound devices of this machine, as PortAudio tells them.

PortAudio reads the list of devices once, when it is initialised, and its calls must not overlap:
`refresh` and `open_stream` are for one thread at a time.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from streamer.errors import UserError

INSTALL = (
    "sudo apt-get install libportaudio2"
    if sys.platform == "linux"
    else "reinstall the package sounddevice"
)


class DeviceError(UserError):
    """A device is not there, or will not be opened."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device that can be listened to."""

    index: int
    name: str
    host: str
    """The part of the system that drives it: ALSA, Core Audio, ..."""
    channels: int
    rate: int
    """Its own samples per second."""
    default: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def portaudio() -> Any:
    """The module sounddevice.

    Raises:
        UserError: if the PortAudio library is missing.
    """
    try:
        import sounddevice
    except OSError:
        raise UserError(f"the PortAudio library is missing: {INSTALL}") from None
    return sounddevice


def inputs() -> list[Device]:
    """The devices that can be listened to, as the list was at the last `refresh`."""
    audio = portaudio()
    hosts = audio.query_hostapis()
    defaults = {host["default_input_device"] for host in hosts[:1]}
    chosen = audio.default.device[0]
    return [
        Device(
            index=index,
            name=str(device["name"]),
            host=str(hosts[device["hostapi"]]["name"]),
            channels=int(device["max_input_channels"]),
            rate=round(device["default_samplerate"]),
            default=index == chosen if chosen >= 0 else index in defaults,
        )
        for index, device in enumerate(audio.query_devices())
        if device["max_input_channels"] > 0
    ]


def find(wanted: str | None) -> Device:
    """The device that is meant.

    Args:
        wanted: an index, a name, or a part of one, in any case; None for the default device.

    Raises:
        DeviceError: if there is none such, or more than one.
    """
    devices = inputs()
    if wanted is None:
        chosen = [device for device in devices if device.default] or devices[:1]
    elif wanted.isdecimal():
        chosen = [device for device in devices if device.index == int(wanted)]
    else:
        name = wanted.casefold()
        chosen = [d for d in devices if d.name.casefold() == name] or [
            d for d in devices if name in d.name.casefold()
        ]
    if not devices:
        raise DeviceError("no microphone was found: plug one in, or wait for one with --wait")
    if not chosen:
        names = ", ".join(f"{d.index} {d.name}" for d in devices)
        raise DeviceError(f"no microphone {wanted}; there are: {names}")
    if len({device.name for device in chosen}) > 1:
        names = ", ".join(f"{d.index} {d.name}" for d in chosen)
        raise DeviceError(f"{wanted} may be several microphones: {names}")
    return chosen[0]


def refresh() -> None:
    """Read the list of devices anew. No stream may be open."""
    audio = portaudio()
    audio._terminate()  # noqa: SLF001 - there is no public way, as its author says himself
    audio._initialize()  # noqa: SLF001


def open_stream(
    device: Device, channels: int, seconds: float, callback: Callable[..., None]
) -> Any:
    """Open and start an input stream of float32 at the device's own rate.

    Args:
        device: which.
        channels: how many of its channels.
        seconds: length of the blocks that the callback gets.
        callback: as sounddevice calls it, in PortAudio's thread.

    Raises:
        DeviceError: if the device cannot be opened.
    """
    audio = portaudio()
    stream = None
    try:
        stream = audio.InputStream(
            device=device.index,
            channels=channels,
            samplerate=device.rate,
            blocksize=round(device.rate * seconds),
            dtype="float32",
            latency="low",
            callback=callback,
        )
        stream.start()
    except (audio.PortAudioError, ValueError, OSError) as error:
        if stream is not None:
            stream.close(ignore_errors=True)
        reason = str(error).partition("[")[0].strip().lower()
        raise DeviceError(f"{device.name}: cannot be opened ({reason})") from None
    return stream
