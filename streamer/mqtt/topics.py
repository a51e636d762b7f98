"""The names under which things are published, and the name of the publisher."""

import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UserError

RESERVED = ("availability", "instance", "state", "diagnostics", "command")
"""Levels under a node that are not sessions."""

MAX_SEGMENT = 80
_UNSAFE = re.compile(r"[^\w.@=-]", re.ASCII)


def segment(name: str) -> str:
    """One level of a topic for any name: letters, digits and `.@=_-` stay.

    Two names never share a level: what had to be changed gets a hash of the original.
    """
    safe = _UNSAFE.sub("_", name)[:MAX_SEGMENT]
    if safe == name and name and name not in RESERVED:
        return safe
    return f"{safe or '_'}-{_hash(name)}"


def check_prefix(prefix: str) -> str:
    """The prefix, if it can stand before topics.

    Raises:
        UserError: if it holds wildcards, control characters or empty levels, or starts with `$`.
    """
    levels = prefix.split("/")
    bad = any(not level or re.search(r"[+#\x00-\x1f\x7f]", level) for level in levels)
    if bad or prefix.startswith("$") or len(prefix) > 200:
        raise UserError(
            f"MQTT prefix {prefix!r}: levels joined by /, none empty, without + # and a leading $"
        )
    return prefix


def default_node() -> str:
    """A name for this publisher: the same after a restart, and different on another machine."""
    host = socket.gethostname().split(".")[0] or "streamer"
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = socket.gethostname()
    # machine-id(5) asks for it to be hashed before it is shown to others.
    return segment(f"{host}-{_hash(f'streamer {machine}')}")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node."""

    prefix: str
    node: str

    @property
    def root(self) -> str:
        """Above all topics of the node."""
        return f"{self.prefix}/{self.node}"

    @property
    def availability(self) -> str:
        """Retained: online, offline (the last will) or stopped (a clean exit)."""
        return f"{self.root}/availability"

    @property
    def instance(self) -> str:
        """Retained: which process publishes as this node."""
        return f"{self.root}/instance"

    @property
    def diagnostics(self) -> str:
        """Retained: how the node is doing."""
        return f"{self.root}/diagnostics"

    @property
    def command(self) -> str:
        """Where commands are read."""
        return f"{self.root}/command"

    @property
    def reply(self) -> str:
        """Where commands are answered."""
        return f"{self.root}/command/reply"

    def state(self, channel: str) -> str:
        """Retained: the latest of one speaker."""
        return f"{self.root}/state/{segment(channel)}"

    def events(self, type_: str) -> str:
        """The events of a type of all sessions: a filter for subscribers."""
        return f"{self.root}/+/{type_}"

    def event(self, session: str, type_: str) -> str:
        """Each event, by session and type."""
        return f"{self.root}/{segment(session)}/{type_}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
