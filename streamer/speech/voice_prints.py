"""Voice prints of people who agreed: vectors with names, in the state directory and nowhere else.

They are biometric data: a file that only the user reads, never in events, logs or exports.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.errors import UserError
from streamer.files import temporary
from streamer.settings.directories import state_directory

Voice = NDArray[np.float32]
"""A vector [192] of length 1."""

ENCODER = "speaker-campplus-1"
MOST = 100
"""People at most."""

_MOST_CHARACTERS = 2_000_000
_SIZE = 192
_LONGEST = 64


def path() -> Path:
    """Return the file of the voice prints."""
    return state_directory() / "voices.json"


def checked_name(name: str) -> str:
    """Return a name that can be a speaker's label.

    Raises:
        UserError: It cannot.
    """
    name = name.strip()
    if not name or len(name) > _LONGEST or not name.isprintable() or "/" in name:
        raise UserError(
            f"{name[:_LONGEST]!r}: a name has 1 to {_LONGEST} printable characters and no slash"
        )
    return name


def load() -> dict[str, Voice]:
    """Return the voice print of each enrolled person, by name.

    Raises:
        UserError: The file is there, but is not of this program, or is of another encoder.
    """
    file = path()
    try:
        with file.open(encoding="utf-8") as opened:
            content = json.loads(opened.read(_MOST_CHARACTERS))
        if content["encoder"] != ENCODER:
            raise UserError(f"{file}: voice prints of another encoder; enroll the people again")
        return {checked_name(name): _voice(values) for name, values in content["voices"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{file}: no voice prints of this program ({error}); remove it and enroll again"
        ) from error


def save(voices: Mapping[str, Voice]) -> None:
    """Write all voice prints, for the user alone to read; without any, no file is left.

    Raises:
        UserError: There are too many, or the file cannot be written.
    """
    if len(voices) > MOST:
        raise UserError(f"{MOST} voices are enrolled already; forget one first")
    file = path()
    people = {name: np.round(voices[name], 6).tolist() for name in sorted(voices)}
    content = json.dumps({"encoder": ENCODER, "voices": people}, ensure_ascii=False)
    try:
        if not voices:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary(file) as partial:  # made with mode 600, before anything is in it
            partial.write_text(content, encoding="utf-8")
            _flush(partial)
            partial.replace(file)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror})") from error


def _flush(file: Path) -> None:
    with contextlib.suppress(OSError), file.open("rb") as opened:
        os.fsync(opened.fileno())


def _voice(values: Any) -> Voice:
    voice = np.asarray(values, np.float32)
    length = float(np.linalg.norm(voice))
    if voice.shape != (_SIZE,) or not 0.9 < length < 1.1:
        raise ValueError("a vector is not one of a voice")
    return np.asarray(voice / np.float32(length))
