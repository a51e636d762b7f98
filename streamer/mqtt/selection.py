"""Selection of the events to publish; subscribers see that others were left out on purpose."""

from typing import get_args

from streamer import events
from streamer.errors import UserError


class Selection:
    """Selects events by their type.

    Args:
        types: the published types; empty: all.

    Raises:
        UserError: if there is no such type.
    """

    def __init__(self, types: tuple[str, ...]) -> None:
        known = event_types()
        self._types = frozenset(types or known)
        if unknown := self._types - known:
            raise UserError(
                f"mqtt.types: no such event: {', '.join(sorted(unknown))} "
                f"(known: {', '.join(sorted(known))})"
            )
        self._session = ""
        self._received = -1
        self._published: int | None = None

    def payload(self, event: events.Event) -> bytes | None:
        """Return the payload to publish for an event; None if its type is not selected.

        The first event after omitted ones names its predecessor in the field `after`.
        """
        if event.session != self._session:
            self._session = event.session
            self._received, self._published = -1, None
        if event.seq != self._received + 1:
            self._published = event.seq - 1  # lost before this sink, not omitted
        self._received = event.seq
        if event.type not in self._types:
            return None
        text = event.to_json()
        before = -1 if self._published is None else self._published
        if before != event.seq - 1:
            after = "null" if self._published is None else self._published
            text = f'{text[:-1]},"after":{after}}}'
        self._published = event.seq
        return text.encode()


def event_types() -> frozenset[str]:
    """Return the types of all events."""
    union, *_ = get_args(events.Event)
    return frozenset(kind.model_fields["type"].default for kind in get_args(union))
