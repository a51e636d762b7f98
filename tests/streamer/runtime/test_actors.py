"""Objects in threads and in processes: they keep their state, and a failure stays with who caused it."""

import asyncio
import os
import signal
from contextlib import contextmanager

import pytest
import torch

from streamer.errors import UserError
from streamer.runtime.actors import Threads
from streamer.runtime.processes import Processes


class Total:
    """Adds up what it is given."""

    def __init__(self, new_stream):
        self.sum = new_stream()

    def add(self, number, *, times=1):
        self.sum += number * times
        return self.sum

    def tensor(self):
        return torch.full((3,), float(self.sum))

    def process(self):
        return os.getpid()

    def fail(self):
        raise ValueError("no such number")

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


def zero():
    return 0


def load():
    return zero


def refuse(_):
    raise UserError("there is none")


@contextmanager
def threads():
    pool = Threads(zero, 2)
    yield pool
    pool.close()


@contextmanager
def processes(load=load):
    pool = Processes(load, 2)
    yield pool
    pool.close()


@pytest.mark.parametrize("workers", [threads, processes])
async def test_an_object_keeps_its_state_and_failures_concern_their_call_alone(workers):
    with workers() as pool:
        one, other = pool.start(Total), pool.start(Total)
        assert [await one.call(Total.add, 2), await one.call(Total.add, 3, times=2)] == [2, 8]
        assert await other.call(Total.add, 1) == 1
        results = await asyncio.gather(
            one.call(Total.fail), other.call(Total.add, 1), return_exceptions=True
        )
        assert str(results[0]) == "no such number"
        assert results[1] == 2
        assert torch.equal(await one.call(Total.tensor), torch.full((3,), 8.0))
        with pytest.raises(UserError, match="there is none"):
            await pool.start(refuse).call(Total.process)
        assert pool.statistics().items >= 6
        one.stop()
        other.stop()


async def test_an_object_in_a_process_costs_nothing_before_its_first_call():
    with processes() as pool:
        pool.start(refuse).stop()
        with pytest.raises(UserError, match="there is none"):
            await pool.start(refuse).call(Total.process)
        assert pool.statistics().items == 1


async def test_objects_are_spread_over_the_processes_and_a_dead_one_is_replaced_meanwhile():
    with processes() as pool:
        await asyncio.to_thread(pool.wait)
        actors = [pool.start(Total) for _ in range(4)]
        places = [await one.call(Total.process) for one in actors]
        assert len(set(places)) == 2
        assert places[:2] == places[2:]
        assert os.getpid() not in places
        with pytest.raises(RuntimeError, match="has died"):
            await actors[0].call(Total.die)
        with pytest.raises(RuntimeError, match="has died"):
            await actors[2].call(Total.add, 1)
        assert await actors[1].call(Total.add, 1) == 1
        actors[0].stop()
        actors[2].stop()
        at_once = pool.start(Total)
        assert await at_once.call(Total.process) == places[1]
        async with asyncio.timeout(60.0):
            while await (fresh := pool.start(Total)).call(Total.process) == places[1]:
                fresh.stop()
        assert await fresh.call(Total.process) not in places
        assert await fresh.call(Total.add, 5) == 5


async def test_calls_that_come_together_are_for_the_same_object():
    with processes() as pool:
        one = pool.start(Total)
        assert [*await asyncio.gather(*(one.call(Total.add, 1) for _ in range(3)))] == [1, 2, 3]


def no_models():
    raise UserError("no such bundle")


def test_says_that_a_process_could_not_be_started():
    with processes(no_models) as pool, pytest.raises(UserError, match="could not be started"):
        pool.wait()
