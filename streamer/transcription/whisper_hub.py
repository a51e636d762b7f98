"""The hub of Hugging Face and its cache on this machine."""

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

from streamer.errors import UserError

SECONDS = 0.8
"""How long the hub may take to say whether it has a model, unless the user asked for a download."""


def cached(repository: str) -> Path | None:
    """Return the directory of a repository's weights in the cache."""
    from huggingface_hub import try_to_load_from_cache

    weights = try_to_load_from_cache(repository, "model.bin")
    return Path(weights).parent if isinstance(weights, str) else None


@functools.cache
def problem(repository: str, wait: float) -> str:
    """Return what keeps the hub from giving a repository, or ""; asked once in the life of the process."""
    outcome: list[str] = []
    # A thread, for the library's own time-outs cover neither the name's look-up nor its retries.
    thread = threading.Thread(
        target=lambda: outcome.append(_ask(repository, wait)), name="hub", daemon=True
    )
    thread.start()
    thread.join(wait)
    return outcome[0] if outcome else f"the hub does not answer within {wait:g} s"


def download(model: str, repository: str, files: Sequence[str]) -> Path:
    """Fetch the files of a repository into the cache, with a progress bar on stderr.

    Raises:
        UserError: if it breaks off.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, allow_patterns=list(files)))
    except Exception as error:
        raise UserError(
            f"whisper model {model}: the download broke off ({type(error).__name__}); "
            "start again to resume it"
        ) from error


def _ask(repository: str, wait: float) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        HfApi().model_info(repository, timeout=wait)
    except RepositoryNotFoundError:
        return f"the hub has no {repository}"
    except OfflineModeIsEnabled:
        return "the hub may not be asked (HF_HUB_OFFLINE is set)"
    except Exception as error:  # noqa: BLE001 - of whatever library carries the request
        return f"the hub cannot be reached ({type(error).__name__})"
    return ""
