"""The terms of models that are not for every use: said once for each user and version."""

import contextlib
import re
from typing import Protocol

from streamer.settings.directories import state_directory

_OPEN = re.compile(r"Apache-2\.0|MIT|BSD|CC0|CC[ -]BY[ -]\d", re.IGNORECASE)
"""How the licences begin that restrict no use."""


class Licensed(Protocol):
    """A model with its terms."""

    @property
    def name(self) -> str:
        """See `Bundle.name`."""

    @property
    def version(self) -> str:
        """See `Bundle.version`."""

    @property
    def license(self) -> str:
        """The terms in one line, "" if they are unknown."""


def terms_at_first_use(*models: Licensed) -> list[str]:
    """Return a line about each model whose terms restrict its use, where it is used for the first time.

    That a line was returned is noted in the state directory; where nothing can be stored, it is returned each time.
    """
    restricted = (m for m in models if m.license and not _OPEN.match(m.license))
    return [f"model {model.name}: {model.license}" for model in restricted if _is_first(model)]


def _is_first(model: Licensed) -> bool:
    """Note the use of a model; whether it is the first."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = state_directory() / "terms"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            (folder / f"{model.name}-{model.version}").touch(exist_ok=False)
        except FileExistsError:
            return False
    return True
