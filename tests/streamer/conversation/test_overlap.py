"""Overlap: the seconds of an utterance during which another channel speaks."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.conversation.overlap import Overlap


def test_speech_of_another_channel_counts_ended_or_not():
    overlap = Overlap()
    overlap.start("a", 0)
    overlap.start("b", 6)
    assert overlap.end("a", 0, 10) == 4
    assert overlap.end("b", 6, 12) == 4


def test_two_others_at_once_count_once():
    overlap = Overlap()
    overlap.end("a", 0, 5)
    overlap.end("b", 3, 8)
    assert overlap.end("c", 2, 10) == 6


def test_the_same_channel_and_what_does_not_touch_count_nothing():
    overlap = Overlap()
    overlap.end("a", 0, 5)
    assert overlap.end("a", 5, 8) == 0
    assert overlap.end("b", 9, 10) == 0


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(1, 10)), max_size=12)
)
def test_equals_a_count_second_by_second(drawn):
    overlap = Overlap()
    spoken = sorted(((who, a, a + n) for who, a, n in drawn), key=lambda each: each[2])
    for place, (who, start, end) in enumerate(spoken):
        others = [each for each in spoken[:place] if each[0] != who]
        seconds = sum(any(a <= t < b for _, a, b in others) for t in range(start, end))
        assert overlap.end(who, start, end) == seconds
