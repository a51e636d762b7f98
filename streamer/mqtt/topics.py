"""The topics of a node, and names made safe for a topic."""

import hashlib
import re
from dataclasses import dataclass

from streamer.errors import UserError

RESERVED = ("availability", "instance", "state", "diagnostics", "command")
"""Levels under a node that are not sessions."""

MAX_SEGMENT = 80
_UNSAFE = re.compile(r"[^\w.@=-]", re.ASCII)


def segment(name: str) -> str:
    """Make one topic level of any name: letters, digits and `.@=_-` stay.

    Two names never share a level: a changed name gets a hash of the original.
    """
    safe = _UNSAFE.sub("_", name)[:MAX_SEGMENT]
    if safe == name and name and name not in RESERVED:
        return safe
    return f"{safe or '_'}-{_hash(name)}"


def check_prefix(prefix: str) -> str:
    """Check and return the prefix of all topics.

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
        """Retained: session, lag, lost audio and counters of the node."""
        return f"{self.root}/diagnostics"

    @property
    def command(self) -> str:
        """Topic of commands."""
        return f"{self.root}/command"

    @property
    def reply(self) -> str:
        """Topic of replies to commands."""
        return f"{self.root}/command/reply"

    def state(self, channel: str) -> str:
        """Return the topic of the latest state of one speaker, which is retained."""
        return f"{self.root}/state/{segment(channel)}"

    def events(self, type_: str) -> str:
        """Return the events of a type of all sessions: a filter for subscribers."""
        return f"{self.root}/+/{type_}"

    def event(self, session: str, type_: str) -> str:
        """Return each event, by session and type."""
        return f"{self.root}/{segment(session)}/{type_}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
