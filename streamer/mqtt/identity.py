"""The node's name: made once, then kept in the state directory.

Host names change with every start of a container; a kept name does not, as long as its state directory stays.
"""

import hashlib
import re
import socket
from pathlib import Path

from streamer.errors import UserError
from streamer.mqtt.topics import segment
from streamer.settings import directories

NAME_FILE = "node"
"""File in the state directory that holds the name."""

_CONTAINER_HOST = re.compile(r"[0-9a-f]{12}")


def state_directory(outbox: Path | None) -> Path:
    """Return the directory of the node's name and outboxes.

    Args:
        outbox: the directory in the settings; None for systemd's or the user's state directory.

    Raises:
        UserError: if there is no home directory.
    """
    try:
        return directories.state_directory() if outbox is None else outbox.expanduser()
    except RuntimeError:
        raise UserError(
            "mqtt.outbox: there is no home directory; name a directory for undelivered events"
        ) from None


def kept_name(directory: Path) -> str:
    """Return the name kept in a state directory; made and stored if there is none.

    Where nothing can be stored, the name is that of host and machine, the same after a restart.
    """
    file = directory / NAME_FILE
    name = _read(file)
    if name:
        return name
    name = default_name()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("x", encoding="ascii") as handle:
            handle.write(f"{name}\n")
    except FileExistsError:
        return _read(file) or name  # another process was faster
    except OSError:
        return name
    return name


def default_name() -> str:
    """Return a name from host and machine; in a container without a name of its own, `streamer-` and a hash."""
    host = socket.gethostname()
    short = host.split(".")[0]
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    if not short or _CONTAINER_HOST.fullmatch(short):
        # The containers of an image may share its machine id.
        short, machine = "streamer", f"{machine} {host}"
    # machine-id(5) asks for a hash where the id leaves the machine.
    digest = hashlib.sha256(f"streamer {machine or host}".encode("utf-8", "surrogatepass"))
    return segment(f"{short}-{digest.hexdigest()[:8]}")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as handle:
            name = handle.read(200).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return name if name and segment(name) == name else ""
