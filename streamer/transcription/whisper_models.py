"""Where Whisper models come from: a directory, the cache of Hugging Face, or its hub, in this order.

Looking is cheap and loads nothing. The hub is asked once in the life of the process and for a bounded
time, so that a machine without network starts as fast as one with it.
"""

import functools
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import UserError

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
"""Without its own tokenizer the library would fetch one from the hub, each time."""
FILES = (*NEEDED, "preprocessor_config.json", "vocabulary.*")

HUB_SECONDS = 8.0
"""How long the hub may take to say whether it has a model."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is on this machine."""

    directory: Path
    origin: Literal["directory", "cache", "hub"]


def find(model: str) -> ModelFiles | None:
    """A model by directory or name, if it is on this machine already.

    Raises:
        UserError: if the directory is not a model's, or no model has that name.
    """
    directory = Path(model).expanduser()
    if directory.is_dir():
        if missing := _missing(directory):
            raise UserError(
                f"whisper model {model}: the directory has no {missing}; "
                "ct2-transformers-converter makes a whole one"
            )
        return ModelFiles(directory, "directory")
    return _find_cached(_repository(model))


def obtain(model: str, *, offline: bool) -> ModelFiles:
    """A model by directory or name, downloaded if it must be (with a progress bar on stderr).

    Raises:
        UserError: if it cannot be had; the message says what to do.
    """
    if files := find(model):
        return files
    advice = "set asr.model to a directory that holds one"
    if offline:
        raise UserError(f"whisper model {model}: not in the cache, and asr.offline is on; {advice}")
    repository = _repository(model)
    if problem := _hub_problem(repository):
        raise UserError(f"whisper model {model}: not in the cache, and the hub {problem}; {advice}")
    return ModelFiles(_download(model, repository), "hub")


def cached() -> list[str]:
    """The names of the models that are in the cache."""
    return [name for name, repository in REPOSITORIES.items() if _find_cached(repository)]


def _repository(model: str) -> str:
    if model in REPOSITORIES:
        return REPOSITORIES[model]
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        return model
    raise UserError(
        f"whisper model {model}: no such directory, and not one of {', '.join(REPOSITORIES)}"
    )


def _missing(directory: Path) -> str:
    return ", ".join(name for name in NEEDED if not (directory / name).is_file())


def _find_cached(repository: str) -> ModelFiles | None:
    from huggingface_hub import try_to_load_from_cache

    weights = try_to_load_from_cache(repository, "model.bin")
    if not isinstance(weights, str) or _missing(Path(weights).parent):
        return None
    return ModelFiles(Path(weights).parent, "cache")


@functools.cache
def _hub_problem(repository: str) -> str:
    """What keeps the hub from giving a repository, or ""."""
    outcome: list[str] = []
    # A thread, for the library's own time-outs cover neither the name's look-up nor its retries.
    thread = threading.Thread(
        target=lambda: outcome.append(_ask_hub(repository)), name="hub", daemon=True
    )
    thread.start()
    thread.join(HUB_SECONDS)
    return outcome[0] if outcome else f"does not answer within {HUB_SECONDS:g} s"


def _ask_hub(repository: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        HfApi().model_info(repository, timeout=HUB_SECONDS)
    except RepositoryNotFoundError:
        return f"has no {repository}"
    except OfflineModeIsEnabled:
        return "may not be asked (HF_HUB_OFFLINE is set)"
    except Exception as error:  # noqa: BLE001 - of whatever library carries the request
        return f"cannot be reached ({type(error).__name__})"
    return ""


def _download(model: str, repository: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        directory = Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except Exception as error:
        raise UserError(
            f"whisper model {model}: the download broke off ({type(error).__name__}); "
            "start again to resume it"
        ) from error
    if missing := _missing(directory):
        raise UserError(f"whisper model {model}: {repository} on the hub has no {missing}")
    return directory
