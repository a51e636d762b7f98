"""Make the sample call: `python -m tools.sample_call` (needs the program espeak-ng).

Two synthetic voices on two channels, agent and customer, who talk about a late parcel: the customer is
angry, then sad, then calms down and is glad. What the voices say and how is all in the script below.
"""

import argparse
import io
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from streamer.settings import shipped as resources

RATE = 16_000
AGENT, CUSTOMER = 0, 1
VOICES = {AGENT: "en-gb-x-rp+m3", CUSTOMER: "en-us+f4"}
HISS = 4e-4
"""Noise of the line, RMS."""


@dataclass(frozen=True)
class Turn:
    """One utterance: who says what after how long a silence, and how."""

    channel: int
    text: str
    pause: float = 0.5
    """Seconds after the other has ended; below 0 the speaker interrupts."""
    rate: int = 165
    """Words per minute."""
    pitch: int = 50
    """0 to 99."""
    level: float = 0.25
    """Peak."""


SCRIPT = (
    Turn(AGENT, "Good morning, parcel service, how can I help you?", pause=0.6),
    Turn(CUSTOMER, "Where is my parcel? I have been waiting for three weeks!", 0.6, 215, 75, 0.8),
    Turn(AGENT, "I am sorry to hear that. Can you give me the number?", 0.5),
    Turn(CUSTOMER, "I gave it to you twice already! This is ridiculous!", 0.4, 225, 82, 0.9),
    Turn(AGENT, "I see it now. It was sent to the wrong town.", 0.7),
    Turn(
        CUSTOMER,
        "Oh no. It was a present for my mother. Her birthday was yesterday.",
        0.9,
        120,
        30,
        0.2,
    ),
    Turn(AGENT, "I understand. I can send it again, and it will be there this afternoon.", 0.6),
    Turn(CUSTOMER, "This afternoon? Really?", 0.5, 175, 62, 0.4),
    Turn(AGENT, "Yes, and you do not have to pay for it.", 0.4),
    Turn(CUSTOMER, "That is wonderful, thank you so much! You made my day!", 0.4, 195, 80, 0.6),
    Turn(AGENT, "You are welcome. Goodbye.", 0.5),
    Turn(CUSTOMER, "Goodbye.", 0.4, 165, 60, 0.4),
)


def main() -> None:
    """Make the call and write it, as Ogg/Opus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=resources.sample_call(),
        metavar="FILE.ogg",
        help="where the call goes (default: the one that comes with the program)",
    )
    options = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is missing: apt-get install espeak-ng")
    call = compose(SCRIPT)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(call, options.out)
    print(f"{options.out}: {len(call) / RATE:.1f} s, {options.out.stat().st_size} bytes")


def compose(script: tuple[Turn, ...]) -> NDArray[np.float32]:
    """Return the call, float32 [n, 2]."""
    spoken = [speak(turn) for turn in script]
    end = 0.0
    placed: list[tuple[int, Turn, NDArray[np.float32]]] = []
    for turn, voice in zip(script, spoken, strict=True):
        start = max(0.0, end + turn.pause)
        placed.append((round(start * RATE), turn, voice))
        end = start + len(voice) / RATE
    call = np.random.default_rng(0).normal(0, HISS, (round((end + 0.8) * RATE), 2))
    for start, turn, voice in placed:
        call[start : start + len(voice), turn.channel] += voice
    return np.clip(call, -1, 1).astype(np.float32)


def speak(turn: Turn) -> NDArray[np.float32]:
    """Return one turn, without the silence around it, at 16 kHz."""
    command = ["espeak-ng", "-v", VOICES[turn.channel], "-s", str(turn.rate), "-p", str(turn.pitch)]
    wav = subprocess.run([*command, "--stdout", turn.text], check=True, capture_output=True).stdout
    with av.open(io.BytesIO(wav), mode="r", format="wav") as container:
        rate = container.streams.audio[0].rate
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    voice = soxr.resample(np.concatenate(frames).astype(np.float32), rate, RATE)
    loud = np.flatnonzero(np.abs(voice) > 0.01 * np.abs(voice).max())
    voice = voice[loud[0] : loud[-1] + 1]
    return np.asarray(voice * (turn.level / np.abs(voice).max()), np.float32)


def write(call: NDArray[np.float32], path: Path) -> None:
    """Write float32 [n, 2] as Opus."""
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="stereo")
        stream.bit_rate = 48_000
        resampled = soxr.resample(call, RATE, 48_000).astype(np.float32)
        for offset in range(0, len(resampled), 960):
            piece = np.ascontiguousarray(resampled[offset : offset + 960].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(piece, format="flt", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, offset, Fraction(1, 48_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
