"""Commands that come over MQTT, and their replies.

They are off unless configured. A payload is JSON, `{"command": "pause", "id": "7"}`, of at most 4 KB; the reply
goes to `command/reply`: `{"id": "7", "command": "pause", "ok": true, "message": null}`.
"""

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from streamer.control import Control

MAX_BYTES = 4096
_REMEMBERED = 256
"""Ids kept to recognise a command that is delivered twice."""


class Command(BaseModel):
    """What a subscriber may ask of a node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: Literal["pause", "resume", "mark"]
    id: str | None = Field(
        default=None, max_length=100, description="returned in the reply; obeyed once"
    )
    session: str | None = Field(
        default=None, max_length=200, description="only if this conversation runs"
    )
    label: str | None = Field(default=None, max_length=200, description="what a mark is called")


class Reply(BaseModel):
    """How a command went."""

    model_config = ConfigDict(frozen=True)

    id: str | None = None
    command: str | None = None
    ok: bool
    message: str | None = None


Handler = Callable[[Command], Awaitable[str | None]]
"""Obeys a command; gives None, or why it could not be done."""


def steer(control: "Control") -> Handler:
    """A handler that steers a live conversation."""

    async def obey(command: Command) -> str | None:
        match command.command:
            case "mark":
                control.mark(command.label)
            case "pause" if control.paused:
                return "already paused"
            case "resume" if not control.paused:
                return "not paused"
            case _:
                control.paused = command.command == "pause"
        return None

    return obey


class Commands:
    """Obeys what comes, each command once."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._replies: OrderedDict[str, Reply] = OrderedDict()

    async def obey(self, payload: bytes) -> Reply:
        """Obey a payload, whoever it is from, and give the reply."""
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
            if len(self._replies) > _REMEMBERED:
                self._replies.popitem(last=False)
        return reply


def parse(payload: bytes) -> Command:
    """The command that a payload holds.

    Raises:
        ValueError: if it is too large or no command; the message is one line.
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
        raise ValueError("; ".join(details)[:500]) from None
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
