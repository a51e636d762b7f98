"""A program that runs a live conversation in its terminal, as `streamer listen` does, on made-up speech."""

import asyncio
import contextlib

import numpy as np

from streamer.clock import WallClock
from streamer.commands.keys import keys, on_key
from streamer.commands.outputs import exit_code, sinks, stopped_by_signals
from streamer.conversation import pipeline
from streamer.conversation.load import Live
from streamer.runtime.engine import Engine
from streamer.settings import load as configuration
from streamer.sources import AudioChunk, SourceInfo
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
    stop = asyncio.get_running_loop().create_future()
    live = Live(60.0)
    settings = configuration.load()
    with Engine.load(settings, print) as engine, contextlib.ExitStack() as stack:
        chosen = sinks(settings, jsonl=None, mqtt=None, table=True, live=live)
        stack.enter_context(stopped_by_signals(stop))
        stack.enter_context(keys(on_key(live, stop)))
        async with asyncio.timeout(crash_after):
            outcome = await pipeline.run(
                Endless(), engine, chosen, WallClock(), stop=stop, live=live
            )
    return exit_code(outcome.reason)
