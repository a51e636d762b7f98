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
