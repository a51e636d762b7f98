"""A refusal is said soon where they are rare, and late in a flood of them."""

import pytest

from streamer.web.refusals import Refusals

TOKEN, BUSY = 4401, 1013


def waits(seconds, count, least=1.0):
    """How long each of so many waits that come so far apart."""
    now = 0.0
    refusals, found = Refusals(lambda: now), []
    for _ in range(count):
        now += seconds
        found.append(refusals.wait(TOKEN, least))
    return found


@pytest.mark.parametrize("least", [1.0, 10.0])
def test_rare_ones_wait_the_least(least):
    assert waits(2.0, 100, least) == [least] * 100


def test_a_flood_waits_as_long_as_it_is_dense_and_never_longer_than_ten_seconds():
    assert waits(0.2, 200)[-1] == pytest.approx(5.0, rel=0.05)
    assert waits(0.01, 2000)[-1] == 10.0


def test_a_single_malformed_message_is_answered_almost_at_once():
    assert waits(60.0, 1, least=0.0) == [pytest.approx(0.2)]


def test_a_flood_concerns_its_kind_alone_and_is_forgotten():
    now = 0.0
    refusals = Refusals(lambda: now)
    for _ in range(1000):
        refusals.wait(TOKEN, 1.0)
    assert refusals.wait(BUSY, 1.0) == 1.0
    assert refusals.wait(TOKEN, 1.0) == 10.0
    now = 60.0
    assert refusals.wait(TOKEN, 1.0) == 1.0
