"""Commands received over MQTT, and their replies.

They are off unless configured. A payload is JSON, `{"command": "pause", "id": "7"}`, of at most 4 KB; the reply
goes to `command/reply`: `{"id": "7", "command": "pause", "ok": true, "message": null}`.
"""

import asyncio
import json
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.clock import Clock, WallClock
from streamer.text import printable

if TYPE_CHECKING:
    from streamer.control import Control

MAX_BYTES = 4096

RATE, BURST = 10.0, 20.0
"""Commands executed per second on average, and at once."""

THROTTLE = 0.01
"""Seconds that each excess command is delayed: live audio comes first."""

_KEPT_IDS = 256
"""Ids kept to recognise a command that is delivered twice."""


class Command(BaseModel):
    """A command from a subscriber."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Literal["pause", "resume", "mark", "summary"]
    id: str | None = Field(
        default=None, max_length=100, description="returned in the reply; executed once"
    )
    session: str | None = Field(
        default=None, max_length=200, description="only if this conversation runs"
    )
    label: str | None = Field(default=None, max_length=200, description="the mark's label")


class Reply(BaseModel):
    """The result of a command."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    command: str | None = None
    ok: bool
    message: str | None = None


Handler = Callable[[Command], Awaitable[str | None]]
"""Executes a command; gives None, or why it failed."""


def steer(control: "Control") -> Handler:
    """Make a handler that controls a live conversation."""

    async def execute(command: Command) -> str | None:
        match command.command:
            case "mark":
                control.mark(command.label)
            case "summary":
                control.summarize()
            case "pause" if control.paused:
                return "already paused"
            case "resume" if not control.paused:
                return "not paused"
            case _:
                control.paused = command.command == "pause"
        return None

    return execute


class Commands:
    """Executes commands, each once, and no more than `RATE` a second.

    Args:
        handler: executes a valid command.
        clock: for the rate limit.
    """

    def __init__(self, handler: Handler, clock: Clock | None = None) -> None:
        self._handler = handler
        self._clock = clock or WallClock()
        self._replies: OrderedDict[str, Reply] = OrderedDict()
        self._budget = BURST
        self._refilled = self._clock.seconds()
        self._refused = -math.inf
        """When the last refusal of an excess command was sent."""

    async def execute(self, payload: bytes) -> Reply | None:
        """Execute a payload from any sender, and give the reply; None for most excess commands."""
        if not self._permit():
            return await self._refuse()
        try:
            command = parse(payload)
        except ValueError as error:
            return Reply(ok=False, message=str(error))
        if command.id is not None and command.id in self._replies:
            return self._replies[command.id]
        problem = await self._handler(command)
        reply = Reply(id=command.id, command=command.command, ok=problem is None, message=problem)
        if command.id is not None:
            self._replies[command.id] = reply
            if len(self._replies) > _KEPT_IDS:
                self._replies.popitem(last=False)
        return reply

    async def _refuse(self) -> Reply | None:
        """Refuse an excess command, with at most one reply a second."""
        await asyncio.sleep(THROTTLE)
        now = self._clock.seconds()
        if now < self._refused + 1.0:
            return None
        self._refused = now
        return Reply(ok=False, message=f"too many commands: at most {RATE:g} a second")

    def _permit(self) -> bool:
        now = self._clock.seconds()
        self._budget = min(BURST, self._budget + RATE * (now - self._refilled))
        self._refilled = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True


def parse(payload: bytes) -> Command:
    """Parse a command.

    Raises:
        ValueError: if it is too large or not a command; the message is one line.
    """
    if len(payload) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        return Command.model_validate(json.loads(payload))
    except ValidationError as error:
        details = (
            f"{'.'.join(str(part) for part in problem['loc']) or 'payload'}: {problem['msg']}"
            for problem in error.errors(include_input=False)
        )
        raise ValueError(printable("; ".join(details)[:500])) from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
