"""What a result was made from: written beside it, so that it can be made again."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from streamer.errors import UserError

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = ("torch", "numpy", "transformers")


def git_commit() -> str:
    """Return the commit of the code that runs, marked where files differ from it; empty outside a repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return (
            f"{commit}-modified"
            if _git("status", "--porcelain", "--untracked-files=no")
            else commit
        )
    except (OSError, subprocess.CalledProcessError):
        return ""


def write_provenance(
    path: Path, *, seed: int, settings: Mapping[str, Any], data: Mapping[str, str]
) -> None:
    """Write a JSON file that says how a result came about.

    Args:
        path: The file.
        seed: Of the run.
        settings: All that could have been chosen otherwise.
        data: Name of each data set and its SHA-256.
    """
    record = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "settings": dict(settings),
        "data": dict(data),
        "commit": git_commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, default=str) + "\n")


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings that `write_provenance` wrote.

    Raises:
        UserError: There is no such file, or it says nothing of settings.
    """
    try:
        settings: dict[str, Any] = json.loads(path.read_bytes())["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: does not say how it was trained ({error})") from error
    return settings


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
