"""Choice of the Whisper model: a directory, an installed package, the cache of Hugging Face, or its hub, in this order.

Looking is cheap and loads nothing. What is on this machine never costs a question over the network; the hub is asked
once in the life of the process and for less than a second, so that a machine without network starts as fast.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import UserError
from streamer.transcription import whisper_hub, whisper_packages

AUTO = "auto"
ENGLISH = ("base.en", "base", "tiny.en", "tiny")
MULTILINGUAL = ("base", "tiny")
"""What `auto` looks for on this machine, best first: models that a CPU can follow a conversation with."""
DOWNLOAD = {ENGLISH: "tiny.en", MULTILINGUAL: "tiny"}
"""What `auto` downloads where nothing is there: 75 MB."""

REPOSITORIES = {
    **{
        size: f"Systran/faster-whisper-{size}"
        for size in (
            *("tiny.en", "tiny", "base.en", "base", "small.en", "small", "medium.en", "medium"),
            *("large-v1", "large-v2", "large-v3"),
        )
    },
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
"""The names that `asr.model` may give, and the hub's repositories in CTranslate2's format."""

NEEDED = ("config.json", "model.bin", "tokenizer.json")
FILES = (*NEEDED, "preprocessor_config.json", "vocabulary.*")

Origin = Literal["directory", "package", "cache", "hub"]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is on this machine."""

    name: str
    """As `asr.model` gives it, or of the directory."""
    directory: Path
    """Where its weights are."""
    origin: Origin

    def megabytes(self) -> float:
        """Return the size of its weights."""
        if self.origin == "package":
            return whisper_packages.packaged_bytes(self.name) / 1e6
        return (self.directory / "model.bin").stat().st_size / 1e6

    def read(self) -> dict[str, bytes] | None:
        """Return the checked contents of a packaged model's files; None for one to be loaded from its directory.

        Raises:
            UserError: if a file of the package is not what it should be.
        """
        return whisper_packages.read_packaged(self.name) if self.origin == "package" else None


def find(model: str, *, language: str | None = "en") -> ModelFiles | None:
    """Find a model by directory or name, if it is on this machine already.

    Args:
        model: a directory, a name, or `auto` for the best that is there.
        language: what `auto` must know: "en", another language, or None for any.

    Raises:
        UserError: if the directory is not a model's, or no model has that name.
    """
    if model == AUTO:
        return next(filter(None, map(_find_named, _candidates(language))), None)
    directory = Path(model).expanduser()
    if not directory.is_dir():
        return _find_named(model)
    if missing := _missing(directory):
        raise UserError(
            f"whisper model {model}: the directory has no {missing}; "
            "ct2-transformers-converter makes a whole one"
        )
    return ModelFiles(directory.resolve().name, directory, "directory")


def obtain(
    model: str,
    *,
    language: str | None = "en",
    wait: float = whisper_hub.SECONDS,
) -> ModelFiles:
    """Find a model by directory or name, or download it (with a progress bar on stderr).

    Args:
        model: see `find`; `auto` downloads the smallest model where there is none.
        language: see `find`.
        wait: seconds for the hub to answer at all.

    Raises:
        UserError: if it cannot be had; the message says what to do.
    """
    if files := find(model, language=language):
        return files
    name = wanted(model, language=language)
    if problem := whisper_hub.problem(_repository(name), wait):
        raise UserError(f"whisper model {name}: not on this machine, and {problem}; {advice(name)}")
    directory = whisper_hub.download(name, _repository(name), FILES)
    if missing := _missing(directory):
        raise UserError(f"whisper model {name}: {_repository(name)} on the hub has no {missing}")
    return ModelFiles(name, directory, "hub")


def wanted(model: str, *, language: str | None) -> str:
    """Return the model to be downloaded where nothing is found."""
    return DOWNLOAD[_candidates(language)] if model == AUTO else model


def advice(model: str) -> str:
    """Return how to come by a model that is not on this machine."""
    for name, extra in (("tiny.en", "words"), ("base", "words-base")):
        if name == model:
            return f"pip install 'streamer-emotion[{extra}]', or set asr.model to a directory"
    return "set asr.model to auto, or to a directory that holds one"


def known() -> list[ModelFiles | str]:
    """Every model by name: its files if it is on this machine, else the name."""
    return [_find_named(name) or name for name in REPOSITORIES]


def _candidates(language: str | None) -> tuple[str, ...]:
    return ENGLISH if language == "en" else MULTILINGUAL


def _find_named(model: str) -> ModelFiles | None:
    repository = _repository(model)
    if directory := whisper_packages.find_packaged(model):
        return ModelFiles(model, directory, "package")
    cached = whisper_hub.cached(repository)
    if cached is None or _missing(cached):
        return None
    return ModelFiles(model, cached, "cache")


def _repository(model: str) -> str:
    if model in REPOSITORIES:
        return REPOSITORIES[model]
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return model
    raise UserError(
        f"whisper model {model}: no such directory, and not one of auto, {', '.join(REPOSITORIES)}"
    )


def _missing(directory: Path) -> str:
    return ", ".join(name for name in NEEDED if not (directory / name).is_file())
