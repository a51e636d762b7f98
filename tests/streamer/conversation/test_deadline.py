"""Waiting for several things takes no longer than for one."""

import asyncio

from streamer.conversation.deadline import Patience


async def test_it_begins_whole_when_it_is_first_asked_for():
    patience = Patience(60)
    await asyncio.sleep(0.01)
    assert patience.left() == 60


async def test_what_was_waited_is_gone_for_all_that_follows():
    patience = Patience(60)
    left = [patience.left()]
    for _ in range(3):
        await asyncio.sleep(0.01)
        left.append(patience.left())
    assert left == sorted(left, reverse=True)
    assert len({*left}) == 4


async def test_it_never_falls_below_nothing():
    patience = Patience(0.001)
    patience.left()
    await asyncio.sleep(0.01)
    assert patience.left() == 0
