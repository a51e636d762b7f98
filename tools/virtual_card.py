"""A sound card made of software: what is played into it is what its microphone hears.

PulseAudio's null sink, whose monitor is the default input of ALSA, in a server of its own. It needs the
packages pulseaudio, pulseaudio-utils, libasound2-plugins and libportaudio2, and no sound card.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

_SINK = "streamer_test"
_START = 20.0
"""Seconds within which the server must answer."""


def missing() -> str:
    """Return what the card needs and this machine has not; "" if it has all."""
    for program in ("pulseaudio", "pactl", "paplay"):
        if not shutil.which(program):
            return f"{program} is not installed (packages pulseaudio, pulseaudio-utils)"
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA's plugin for PulseAudio is not installed (package libasound2-plugins)"
    try:
        import sounddevice  # noqa: F401 - whether it can be imported is the question
    except OSError:
        return "PortAudio is not installed (package libportaudio2)"
    return ""


class VirtualCard:
    """A running PulseAudio with a null sink, or several. A context manager.

    Args:
        directory: holds the server's files; its path is short enough for a socket.
        others: names of more sinks; each is a microphone of that name, too.
    """

    def __init__(self, directory: Path, others: Sequence[str] = ()) -> None:
        self._directory = directory
        self._others = others
        self._socket = directory / "pulse.socket"
        self._module = ""
        self.environment = os.environ | {
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_COOKIE": str(directory / "cookie"),
            "PULSE_SINK": _SINK,
            "PULSE_SOURCE": f"{_SINK}.monitor",
        }
        """For the processes that use the card."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"),
                *("--use-pid-file=no", "--log-level=error", "--high-priority=no"),
                f"--load=module-native-protocol-unix auth-anonymous=1 socket={self._socket}",
            ],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START
        while self._control("info", check=False) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        self.plug()
        for name in self._others:
            self._add(name)
        # ALSA, and so PortAudio, knows by itself only the server's default.
        (self._directory / ".asoundrc").write_text(
            "".join(
                f'pcm.{name} {{ type pulse device "{name}.monitor" hint {{ show on description "{name}" }} }}\n'
                for name in self._others
            )
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self.freeze(frozen=False)
        self._server.terminate()
        self._server.wait(10)

    def plug(self) -> None:
        """Plug the card in."""
        self._module = self._add(_SINK)

    def unplug(self) -> None:
        """Remove the card while it is in use."""
        self._control("unload-module", self._module)

    def suspend(self, *, suspended: bool) -> None:
        """Let the card's microphone be opened but deliver nothing, or deliver again."""
        self._control("suspend-sink", _SINK, str(int(suspended)))

    def freeze(self, *, frozen: bool) -> None:
        """Let the sound server answer nobody, or answer again."""
        self._server.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    @contextlib.contextmanager
    def playing(self, recording: Path, sink: str = _SINK) -> Iterator[subprocess.Popen[bytes]]:
        """Play a recording meanwhile; break off at the end of the context."""
        command = ["paplay", f"--device={sink}", str(recording)]
        with subprocess.Popen(command, env=self.environment) as player:
            try:
                yield player
            finally:
                player.terminate()

    def _add(self, name: str) -> str:
        """Return a sink that works even while nobody records, so that a new recording begins at once."""
        sink = ("module-null-sink", f"sink_name={name}", "rate=48000", "norewinds=1")
        return self._control("load-module", *sink) or ""

    def _control(self, *arguments: str, check: bool = True) -> str | None:
        done = subprocess.run(
            ["pactl", *arguments],
            env=self.environment,
            capture_output=True,
            check=check,
            timeout=_START,
        )
        return None if done.returncode else done.stdout.decode().strip()
