"""Mutated commands over MQTT: each gets a reply, and steers nothing that it does not name."""

import asyncio
import json
from pathlib import Path
from typing import Any

from numpy.random import Generator

from streamer.clock import VirtualClock
from streamer.control import Control
from streamer.mqtt.commands import Commands, steer
from streamer.text import printable
from tools.fuzz import running
from tools.fuzz.mutation import mutated

_VALUES: tuple[Any, ...] = (
    *(
        "pause",
        "resume",
        "mark",
        "summary",
        "",
        None,
        True,
        0,
        -1,
        1e308,
        [],
        {},
        "\0",
        "\x1b]52;c;eA==\a",
    ),
    *("x" * 5000, "😀" * 60, ["pause"], {"command": "pause"}, 10**400),
)
_KEYS = ("command", "id", "session", "label", "", "__class__", "x" * 300)


def prepare(folder: Path) -> running.Attempt:  # noqa: ARG001 - as all targets
    """Make a conversation that can be steered."""

    def attempt(rng: Generator) -> str:
        return asyncio.run(_executed(payload(rng)))

    return attempt


def payload(rng: Generator) -> bytes:
    """Return a command, or something like one."""
    command: dict[str, Any] = {"command": str(rng.choice(["pause", "resume", "mark", "summary"]))}
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            command[_KEYS[int(rng.integers(len(_KEYS)))]] = _VALUES[int(rng.integers(len(_VALUES)))]
    data = json.dumps(command).encode()
    if rng.random() < 0.05:
        return b"[" * int(rng.integers(1, 20_000))
    return mutated(data, rng) if rng.random() < 0.6 else data


async def _executed(data: bytes) -> str:
    control = Control()
    reply = await Commands(steer(control), VirtualClock()).execute(data)
    if reply is None:
        raise AssertionError("no reply")
    text = reply.model_dump_json()
    if len(text) > 5000 or printable(message := reply.message or "") != message:
        raise AssertionError(f"a reply of {len(text)} characters: {text[:200]!r}")
    return "obeyed" if reply.ok else "refused"


add_arguments = running.add_arguments
run = running.command(prepare)
