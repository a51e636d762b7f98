"""A program that runs a live conversation in its terminal, as `streamer listen` does, on made-up speech."""

import asyncio
import contextlib

import numpy as np

from streamer.api import Engine, make_sinks
from streamer.audio import AudioChunk
from streamer.clock import WallClock
from streamer.commands.keys import keys, on_key
from streamer.commands.outputs import exit_code, stopped_by_signals
from streamer.control import Control, LiveStatus
from streamer.registry import SinkContext
from streamer.settings import load as configuration
from streamer.sources import SourceInfo
from tests.end_to_end.conversations import silence, voice


class Endless:
    """Somebody who speaks and rests by turns."""

    info = SourceInfo("endless", ("speaker",), live=True, session="endless")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def __aiter__(self):
        turn = np.concatenate([voice(0.8), silence(0.8)])
        start = 0
        while True:
            for first in range(0, len(turn), 480):
                yield AudioChunk(0, start, turn[first : first + 480])
                start += 480
                await asyncio.sleep(0.03)


async def talk(crash_after=None):
    """Run it until a key or a signal ends it, or a fault of ours after so many seconds."""
    control, status = Control(), LiveStatus()
    settings = configuration.load(overrides={"live.max_lag": 60.0})
    with Engine.load(settings, print) as engine, contextlib.ExitStack() as stack:
        chosen = make_sinks(SinkContext(settings, control, status), {})
        stack.enter_context(stopped_by_signals(control))
        stack.enter_context(keys(on_key(control)))
        async with asyncio.timeout(crash_after):
            outcome = await engine.run(
                Endless(), chosen, WallClock(), control=control, status=status
            )
    return exit_code(outcome)
