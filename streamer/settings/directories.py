"""Directories of what must outlive the program."""

import os
from pathlib import Path


def state_directory() -> Path:
    """Return systemd's state directory of the service, or else the user's (XDG Base Directory Specification).

    Raises:
        RuntimeError: if there is no home directory.
    """
    service = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service:
        return Path(service)
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return (Path(home) / "streamer").expanduser()
