"""A speaker's mood is a weighted mean of what was judged, the latest counting most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.conversation.mood import MoodTracker

LABELS = ("angry", "happy", "sad", "neutral")


def sure(label):
    return {name: float(name == label) for name in LABELS}


@given(
    st.lists(
        st.tuples(st.floats(0, 500), st.lists(st.floats(0.01, 1), min_size=4, max_size=4)),
        min_size=1,
        max_size=20,
    )
)
def test_a_mood_is_a_distribution(turns):
    tracker = MoodTracker(half_life=30)
    at = 0.0
    for pause, weights in turns:
        at += pause
        judged = {k: w / sum(weights) for k, w in zip(LABELS, weights, strict=True)}
        mood, _ = tracker.update(at, judged)
        assert sum(mood.values()) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in mood.values())


def test_what_was_said_a_half_life_ago_counts_half():
    tracker = MoodTracker(half_life=30)
    tracker.update(0, sure("angry"))
    mood, _ = tracker.update(30, sure("happy"))
    assert mood["happy"] == pytest.approx(2 / 3)


def test_the_trend_follows_the_pleasantness():
    tracker = MoodTracker(half_life=30)
    assert tracker.update(0, sure("neutral"))[1] == "steady"
    assert tracker.update(5, sure("angry"))[1] == "worsening"
    assert tracker.update(10, sure("happy"))[1] == "improving"
    assert tracker.update(400, sure("happy"))[1] == "improving"
    assert tracker.update(405, sure("happy"))[1] == "steady"


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 50), st.sampled_from(LABELS)), min_size=1),
    st.sampled_from(LABELS),
)
def test_the_moods_of_two_who_turn_out_to_be_one_become_one(turns, last):
    one, other, known = (MoodTracker(half_life=30) for _ in range(3))
    at = 0.0
    for first, pause, label in turns:
        at += pause
        (one if first else other).update(at, sure(label))
        known.update(at, sure(label))
    one.include(other)
    found, trend = one.update(at + 1, sure(last))
    expected, expected_trend = known.update(at + 1, sure(last))
    assert {k: v for k, v in found.items() if v} == pytest.approx(
        {k: v for k, v in expected.items() if v}
    )
    assert trend == expected_trend
