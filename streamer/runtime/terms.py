"""The terms of a bundle that is not for every use: said once for each user and version."""

import contextlib
import re
from typing import TYPE_CHECKING

from streamer.settings.directories import state_directory

if TYPE_CHECKING:
    from streamer_models.bundle import Bundle

_OPEN = re.compile(r"Apache-2\.0|MIT|BSD|CC0|CC[ -]BY[ -]\d", re.IGNORECASE)
"""How the licences begin that restrict no use."""


def terms_at_first_use(bundle: "Bundle") -> str:
    """Return a line about the terms of a bundle where they restrict its use and it is used for the first time.

    That the line was returned is noted in the state directory; where nothing can be stored, it is returned each time.

    Returns:
        The line, or "".
    """
    if not bundle.license or _OPEN.match(bundle.license):
        return ""
    line = f"emotion model {bundle.name}: {bundle.license}"
    with contextlib.suppress(OSError, RuntimeError):
        folder = state_directory() / "terms"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            (folder / f"{bundle.name}-{bundle.version}").touch(exist_ok=False)
        except FileExistsError:
            return ""
    return line
