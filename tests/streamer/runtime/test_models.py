"""The pools that all conversations of a process share."""

import asyncio
import threading

from tests.end_to_end.conversations import engine_for


async def test_is_crowded_while_many_calls_wait_for_a_worker(random_bundle):
    free = threading.Event()
    with engine_for(random_bundle, cores=1) as engine:
        runtime = engine.runtime
        assert not runtime.crowded
        actors = [runtime.start_actor(lambda _: free) for _ in range(4)]
        calls = [asyncio.create_task(one.call(threading.Event.wait)) for one in actors[:3]]
        await asyncio.sleep(0)
        assert not runtime.crowded
        calls.append(asyncio.create_task(actors[3].call(threading.Event.wait)))
        await asyncio.sleep(0)
        assert runtime.crowded
        free.set()
        await asyncio.gather(*calls)
        assert not runtime.crowded
