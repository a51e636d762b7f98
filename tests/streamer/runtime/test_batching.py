"""Items that queue up are batched; their results are those of each alone."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamer.runtime.batching import Batcher, BatchStatistics, combined


class Squares:
    """Squares numbers, and keeps which came together; holds on while `gate` is closed."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, numbers):
        self.calls.append(list(numbers))
        self.gate.wait(10)
        if "all" in numbers:
            raise RuntimeError("broken")
        return [ValueError("not a number") if n is None else n * n for n in numbers]


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def under_way(squares):
    async with asyncio.timeout(10):
        while not squares.calls:  # noqa: ASYNC110 - it changes in another thread
            await asyncio.sleep(0.001)


async def test_starts_at_once_if_a_worker_is_free(pool):
    squares = Squares()
    assert await Batcher(pool, 1, squares, limit=8).submit(3) == 9
    assert squares.calls == [[3]]


async def test_batches_what_arrives_while_all_workers_are_busy_in_order(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=4)
    squares.gate.clear()
    waiting = [batcher.submit(n) for n in range(8)]
    await under_way(squares)
    squares.gate.set()
    assert await asyncio.gather(*waiting) == [n * n for n in range(8)]
    assert squares.calls == [[0], [1, 2, 3, 4], [5, 6, 7]]


async def test_an_item_that_fails_does_not_affect_the_others(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8)
    squares.gate.clear()
    waiting = [batcher.submit(n) for n in (1, 2, None, 4)]
    await under_way(squares)
    squares.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [results[0], results[1], results[3]] == [1, 4, 16]
    assert isinstance(results[2], ValueError)


async def test_an_error_of_the_call_reaches_all_its_items(pool):
    with pytest.raises(RuntimeError, match="broken"):
        await Batcher(pool, 1, Squares(), limit=8).submit("all")


async def test_leaves_out_cancelled_items(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8)
    squares.gate.clear()
    waiting = [batcher.submit(n) for n in range(4)]
    await under_way(squares)
    waiting[2].cancel()
    await asyncio.sleep(0)
    squares.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert squares.calls == [[0], [1, 3]]


def test_a_loop_that_broke_off_leaves_nothing_behind(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8)

    async def broken_off():
        squares.gate.clear()
        left = batcher.submit(1)
        await under_way(squares)
        assert not left.done()

    asyncio.run(broken_off())
    squares.gate.set()

    async def again():
        return await asyncio.wait_for(batcher.submit(5), 10)

    assert asyncio.run(again()) == 25


async def test_an_item_that_may_wait_starts_with_the_next_that_may_not(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8, max_wait=60)
    waiting = [batcher.submit(n, may_wait=True) for n in range(3)]
    await asyncio.sleep(0.01)
    assert squares.calls == []
    waiting.append(batcher.submit(3))
    assert await asyncio.gather(*waiting) == [0, 1, 4, 9]
    assert squares.calls == [[0, 1, 2, 3]]


async def test_starts_after_max_wait_at_the_latest(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8, max_wait=0.01)
    assert await asyncio.gather(*(batcher.submit(n, may_wait=True) for n in range(3))) == [0, 1, 4]
    assert squares.calls == [[0, 1, 2]]
    assert await batcher.submit(4, may_wait=True) == 16


async def test_items_that_may_wait_start_when_a_busy_worker_is_free(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8, max_wait=60)
    squares.gate.clear()
    first = batcher.submit(1)
    await under_way(squares)
    others = [batcher.submit(n, may_wait=True) for n in (2, 3)]
    squares.gate.set()
    assert await asyncio.gather(first, *others) == [1, 4, 9]


async def test_counts_what_waits_is_busy_and_was_cancelled(pool):
    squares = Squares()
    batcher = Batcher(pool, 1, squares, limit=8)
    squares.gate.clear()
    waiting = [batcher.submit(n) for n in range(4)]
    await under_way(squares)
    waiting[3].cancel()
    assert batcher.statistics() == BatchStatistics(waiting=3, busy=1, calls=1, items=1)
    squares.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    after = BatchStatistics(waiting=0, busy=0, calls=2, items=3, cancelled=1)
    assert batcher.statistics() == after
    assert combined(after, after).items == 6
