"""Waiting for several things takes no longer than for one."""

import asyncio

from streamer.transcription.deadline import Deadline


async def test_it_begins_whole_when_it_is_first_asked_for():
    deadline = Deadline(60)
    await asyncio.sleep(0.01)
    assert deadline.left() == 60


async def test_what_was_waited_is_gone_for_all_that_follows():
    deadline = Deadline(60)
    left = [deadline.left()]
    for _ in range(3):
        await asyncio.sleep(0.01)
        left.append(deadline.left())
    assert left == sorted(left, reverse=True)
    assert len({*left}) == 4


async def test_it_never_falls_below_nothing():
    deadline = Deadline(0.001)
    deadline.left()
    await asyncio.sleep(0.01)
    assert deadline.left() == 0
