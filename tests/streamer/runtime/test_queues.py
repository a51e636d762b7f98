"""Queues between stages are bounded by weight, keep their order and can be closed."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.runtime.queues import BoundedQueue, Closed, QueueStatistics


@pytest.mark.parametrize("together", [False, True])
@given(st.lists(st.floats(0, 10), max_size=30))
@settings(deadline=None)
def test_everything_arrives_in_order_and_what_waits_stays_bounded(together, weights):
    async def scenario():
        queue = BoundedQueue(12.0)

        async def write():
            for index, weight in enumerate(weights):
                await queue.put(index, weight)
                assert queue.weight <= 12.0 + 1e-9
            queue.close()

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            if together:
                return [item async for items in queue.several() for item in items]
            return [item async for item in queue]

    assert asyncio.run(scenario()) == list(range(len(weights)))


async def test_one_item_always_fits_however_heavy():
    queue = BoundedQueue(1.0)
    await queue.put("heavy", 100.0)
    assert not queue.offer("light", 0.1)


async def test_a_writer_waits_for_room():
    queue = BoundedQueue(1.0)
    await queue.put("first")
    writer = asyncio.create_task(queue.put("second"))
    await asyncio.sleep(0)
    assert not writer.done()
    assert await anext(aiter(queue)) == "first"
    await writer


async def test_closing_lets_readers_finish_and_writers_fail():
    queue = BoundedQueue(1.0)
    await queue.put("last")
    waiting = asyncio.create_task(queue.put("too late"))
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(Closed):
        await waiting
    assert [item async for item in queue] == ["last"]
    assert not queue.offer("too late")


async def test_what_waits_is_given_together():
    queue = BoundedQueue(9.0)
    for number in range(5):
        await queue.put(number)
    given = queue.several()
    assert await anext(given) == [0, 1, 2, 3, 4]
    assert queue.weight == 0
    await queue.put("later")
    queue.close()
    assert [items async for items in given] == [["later"]]


async def test_statistics_show_how_full_it_is_and_was():
    queue = BoundedQueue(9.0)
    await queue.put("first", 4.0)
    await queue.put("second", 3.0)
    await anext(aiter(queue))
    assert queue.statistics() == QueueStatistics(items=1, weight=3.0, limit=9.0, highest=7.0)
