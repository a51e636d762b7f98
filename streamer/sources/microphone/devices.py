"""The sound devices of this machine, as PortAudio lists them.

PortAudio reads the list of devices once, at initialisation, and is not thread-safe:
call `refresh` and `open_stream` from one thread at a time.
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
    """A device is missing or cannot be opened."""


@dataclass(frozen=True, slots=True)
class Device:
    """One input device."""

    index: int
    name: str
    host: str
    """The host API that drives it: ALSA, Core Audio, ..."""
    channels: int
    rate: int
    """Its native sample rate in Hz."""
    default: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def portaudio() -> Any:
    """Return the module sounddevice.

    Raises:
        UserError: if the PortAudio library is missing.
    """
    try:
        import sounddevice
    except OSError:
        raise UserError(f"the PortAudio library is missing: {INSTALL}") from None
    return sounddevice


def inputs() -> list[Device]:
    """List the input devices as of the last `refresh`."""
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
    """Find one device.

    Args:
        wanted: an index, a name or a part of a name (case-insensitive); None for the default device.

    Raises:
        DeviceError: if no device or more than one matches.
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
    """Read the list of devices again. No stream may be open."""
    audio = portaudio()
    audio._terminate()  # noqa: SLF001 - sounddevice has no public call for this
    audio._initialize()  # noqa: SLF001


def open_stream(
    device: Device, channels: int, seconds: float, callback: Callable[..., None]
) -> Any:
    """Open and start a float32 input stream at the device's native rate.

    Args:
        device: the device to open.
        channels: number of its channels to capture.
        seconds: block length.
        callback: sounddevice callback, run in PortAudio's thread.

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
