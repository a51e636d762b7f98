"""Items that a subscriber receives: events and their order, retained states, availability, connection changes."""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from streamer import events
from streamer.mqtt.state import SpeakerState

log = logging.getLogger(__name__)

MAX_SESSIONS = 1000
"""Conversations whose position is remembered."""


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event."""

    node: str
    event: events.Event
    payload: bytes


@dataclass(frozen=True, slots=True)
class MissingEvents:
    """Events of a session, numbered `first` to `last`, that did not arrive before a later one."""

    node: str
    session: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RetainedState:
    """The retained state of a speaker."""

    node: str
    state: SpeakerState


@dataclass(frozen=True, slots=True)
class Availability:
    """A node is online, offline or stopped."""

    node: str
    value: str


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """The connection to the broker is lost, for a reason, or restored."""

    problem: str | None


Item = ReceivedEvent | MissingEvents | RetainedState | Availability | ConnectionChange


class EventOrder:
    """Drops repeated events, and notices missing ones."""

    def __init__(self) -> None:
        self._positions: OrderedDict[tuple[str, str], _Position] = OrderedDict()

    def take(self, node: str, payload: bytes) -> list[ReceivedEvent | MissingEvents]:
        """Return the items of a payload: an event, perhaps after missing ones, or nothing."""
        try:
            envelope = _Envelope.model_validate_json(payload)
        except ValidationError:
            log.debug("not an event from %s", node)
            return []
        position = self._position(node, envelope.session)
        if envelope.type == "session_started" and envelope.time != position.started:
            position.started = envelope.time
            position.last = None  # the same session, recorded again
        if position.last is not None and envelope.seq <= position.last:
            return []
        found: list[ReceivedEvent | MissingEvents] = []
        after = envelope.after if "after" in envelope.model_fields_set else envelope.seq - 1
        if position.last is not None and after is not None and after > position.last:
            found.append(MissingEvents(node, envelope.session, position.last + 1, after))
        position.last = envelope.seq
        try:
            found.append(ReceivedEvent(node, events.parse(payload), payload))
        except ValidationError:
            log.debug("not an event of this version from %s", node)
        return found

    def _position(self, node: str, session: str) -> "_Position":
        key = node, session
        position = self._positions.setdefault(key, _Position())
        self._positions.move_to_end(key)
        if len(self._positions) > MAX_SESSIONS:
            self._positions.popitem(last=False)
        return position


class _Envelope(BaseModel):
    """The fields of every event, also of later versions, and those that the publisher adds."""

    session: str
    seq: int = Field(ge=0)
    type: str
    time: AwareDatetime
    after: int | None = None
    """The preceding event, if those between were left out on purpose."""


@dataclass(slots=True)
class _Position:
    last: int | None = None
    started: datetime | None = None
