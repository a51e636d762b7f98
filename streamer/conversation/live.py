"""Tasks of a live conversation beside its audio: marks, summaries on demand, alerts about silence."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from streamer.audio import to_seconds
from streamer.control import Control, LiveStatus
from streamer.conversation.outgoing import Outgoing

_TICK = 0.5
"""Seconds between checks of how long nobody has spoken."""

_CONFIRMED = 1.0
"""Seconds after which speech is confirmed, if there is any."""


def live_tasks(
    control: Control, status: LiveStatus, outgoing: Outgoing
) -> list[Coroutine[Any, Any, None]]:
    """Return the tasks to run, until they are cancelled, while a live conversation goes on."""
    return [
        _report_marks(control, status, outgoing),
        _summarize(control, status, outgoing),
        _watch_silence(status, outgoing),
    ]


async def _report_marks(control: Control, status: LiveStatus, outgoing: Outgoing) -> None:
    while True:
        label = await control.marks.get()
        await outgoing.mark(to_seconds(status.position), label)


async def _summarize(control: Control, status: LiveStatus, outgoing: Outgoing) -> None:
    while True:
        await control.summaries.get()
        await outgoing.summary(to_seconds(status.position))


async def _watch_silence(status: LiveStatus, outgoing: Outgoing) -> None:
    while True:
        await asyncio.sleep(_TICK)
        position = to_seconds(status.position) - status.lag - _CONFIRMED
        await outgoing.alerts(max(0.0, position))
