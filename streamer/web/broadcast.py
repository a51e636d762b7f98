"""A sink for any number of watchers: each at its own pace, and none delays another or the conversation."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from streamer import events
from streamer.sinks import Sink
from streamer.views import View

_HISTORY = 5_000
"""Events kept for watchers who connect later, and for the report: of some two hours of talk."""
_BEHIND = 500
"""Events that wait for one watcher at most; beyond, the oldest are skipped and counted."""


class Kept(NamedTuple):
    """An event as JSON: a fifth of its size as an object."""

    seq: int
    line: bytes

    @classmethod
    def of(cls, event: events.Event) -> "Kept":
        """Encode an event."""
        return cls(event.seq, event.to_json().encode())

    def event(self) -> events.Event:
        """Decode it."""
        return events.parse(self.line)


class Subscription:
    """The events of one conversation for one watcher.

    Iterating gives events in their order; an integer stands for so many that were skipped, since the watcher
    was too slow. It ends after `session_ended`.
    """

    def __init__(self, past: Iterable[Kept]) -> None:
        self._waiting: deque[events.Event | Kept] = deque(past)
        self._skipped = 0
        self._ended = False
        self._changed = asyncio.Event()

    def offer(self, event: events.Event) -> None:
        """Append an event; the oldest makes room if too many wait."""
        if len(self._waiting) >= _BEHIND:
            self._waiting.popleft()
            self._skipped += 1
        self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        """Take no more events."""
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[events.Event | int]:
        while True:
            while self._skipped or self._waiting:
                if self._skipped:
                    count, self._skipped = self._skipped, 0
                    yield count
                else:
                    item = self._waiting.popleft()
                    yield item.event() if isinstance(item, Kept) else item
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()


class Broadcast(Sink):
    """Keeps a conversation's recent events and its view, and passes events on to subscriptions."""

    def __init__(self) -> None:
        self.view = View()
        self.history: deque[Kept] = deque()
        """The first event and the latest ones, without estimates: the next ones come soon."""
        self._subscriptions: set[Subscription] = set()
        self._ended = False
        self._unwatched = asyncio.Event()
        self._unwatched.set()

    async def emit(self, event: events.Event) -> None:
        """Deliver one event."""
        self.view.take(event)
        if not isinstance(event, events.SpeechUpdate):
            self.history.append(Kept.of(event))
        if len(self.history) > _HISTORY:
            del self.history[1]
        for subscription in self._subscriptions:
            subscription.offer(event)

    def close(self) -> None:
        """End the conversation: subscriptions end once they are read."""
        self._ended = True
        for subscription in self._subscriptions:
            subscription.close()

    async def read(self) -> None:
        """Wait until nobody is subscribed any more: all have received the last events."""
        await self._unwatched.wait()

    @contextmanager
    def subscribe(self, after: int = -1) -> Iterator[Subscription]:
        """Subscribe to the events with a higher `seq` than `after`, those of the past first."""
        subscription = Subscription(kept for kept in self.history if kept.seq > after)
        self._subscriptions.add(subscription)
        self._unwatched.clear()
        if self._ended:
            subscription.close()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._unwatched.set()
