"""A sound card made of software: what is played into it is what its microphone hears.

PulseAudio's null sink, whose monitor is the default input of ALSA, in a server of its own.
"""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SINK = "streamer_test"
_PLUGINS = ("/usr/lib", "/usr/lib64")


def missing():
    """What the card needs and this machine has not; "" if it has all."""
    for program in ("pulseaudio", "pactl", "paplay"):
        if not shutil.which(program):
            return f"{program} is not installed (packages pulseaudio, pulseaudio-utils)"
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        return "ALSA's plugin for PulseAudio is not installed (package libasound2-plugins)"
    try:
        import sounddevice  # noqa: F401
    except OSError:
        return "PortAudio is not installed (package libportaudio2)"
    return ""


class VirtualCard:
    """A running PulseAudio with one null sink.

    Args:
        directory: short enough for a socket's path; holds the server's files.
    """

    def __init__(self, directory):
        self._directory = directory
        self._module = ""
        self.environment = os.environ | {
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "PULSE_SERVER": f"unix:{directory}/pulse.socket",
            "PULSE_SOURCE": f"{SINK}.monitor",
            "PULSE_SINK": SINK,
            "PULSE_COOKIE": str(directory / "cookie"),
        }

    def __enter__(self):
        self._server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"),
                *("--log-level=error", "--high-priority=no"),
                f"--load=module-native-protocol-unix auth-anonymous=1 socket={self._directory}/pulse.socket",
            ],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(100):
            if self._control("info", check=False).returncode == 0:
                break
            time.sleep(0.1)
        self.plug()
        return self

    def __exit__(self, *_):
        self._server.terminate()
        self._server.wait(10)

    def plug(self):
        """The card is there."""
        done = self._control("load-module", "module-null-sink", f"sink_name={SINK}", "rate=48000")
        self._module = done.stdout.decode().strip()

    def unplug(self):
        """The card is gone, whoever uses it."""
        self._control("unload-module", self._module)

    @contextlib.contextmanager
    def playing(self, recording):
        """A recording is played meanwhile; not waited for at the end."""
        with subprocess.Popen(["paplay", str(recording)], env=self.environment) as player:
            try:
                yield player
            finally:
                player.terminate()

    def _control(self, *arguments, check=True):
        return subprocess.run(
            ["pactl", *arguments],
            env=self.environment,
            capture_output=True,
            check=check,
            timeout=20,
        )


@contextlib.contextmanager
def virtual_card(directory):
    """A card, or a skipped test."""
    if reason := missing():
        pytest.skip(f"no virtual sound card: {reason}")
    with VirtualCard(directory) as card:
        yield card
