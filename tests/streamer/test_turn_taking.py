"""Turn-taking: overlaps, interruptions, silence and response times of utterances in order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.turn_taking import INTERRUPTION, TURN_PAUSE, TurnTaking


def taking(*utterances):
    turns = TurnTaking()
    for speaker, start, end in sorted(utterances, key=lambda each: each[1:]):
        turns.add(speaker, start, end)
    return turns


def test_alternating_speakers_take_turns_and_answer_after_a_time():
    turns = taking(("a", 1, 3), ("b", 3.5, 6), ("a", 7, 8))
    assert turns.speakers["a"].count == 2
    assert list(turns.speakers["b"].responses) == [0.5]
    assert list(turns.speakers["a"].responses) == [1.0]
    assert turns.silence_until(10) == (1 + 0.5 + 1 + 2, 2)
    assert turns.overlaps == 0


def test_utterances_of_one_speaker_are_one_turn_unless_a_long_pause_lies_between():
    turns = taking(("a", 0, 2), ("a", 3, 5), ("a", 5 + TURN_PAUSE + 0.1, 9))
    assert turns.speakers["a"].count == 2
    assert turns.speakers["a"].longest == 5
    assert not turns.speakers["a"].responses


def test_a_word_of_assent_inside_anothers_utterance_is_no_turn_and_no_interruption():
    turns = taking(("a", 0, 10), ("b", 4, 4.6), ("a", 10.5, 12))
    assert (turns.speakers["b"].count, turns.speakers["b"].interruptions) == (0, 0)
    assert turns.speakers["a"].count == 1
    assert turns.speakers["a"].longest == 12
    assert (turns.overlaps, turns.overlap_seconds) == (1, pytest.approx(0.6))


def test_speaking_on_into_anothers_turn_for_over_a_second_is_an_interruption():
    turns = taking(("a", 0, 10), ("b", 10 - INTERRUPTION - 0.5, 14))
    assert turns.speakers["b"].interruptions == 1
    assert turns.speakers["b"].interruption_seconds == INTERRUPTION + 0.5
    assert turns.speakers["a"].interruptions == 0
    assert not turns.speakers["b"].responses


def test_a_short_overlap_at_a_change_of_turns_is_no_interruption():
    turns = taking(("a", 0, 10), ("b", 10 - INTERRUPTION, 14))
    assert turns.speakers["b"].interruptions == 0
    assert turns.overlap_seconds == INTERRUPTION


utterances = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.integers(1, 12)), max_size=30
).map(lambda drawn: [(who, start, start + length) for who, start, length in drawn])


def apart(drawn):
    """Each speaker's utterances cut so that they do not overlap each other."""
    cut = []
    for who in "abc":
        own = sorted(each for each in drawn if each[0] == who)
        for (_, start, end), following in pairwise([*own, (who, 10_000, 10_000)]):
            if min(end, following[1]) > start:
                cut.append((who, start, min(end, following[1])))
    return cut


@given(utterances)
def test_overlap_and_silence_are_those_counted_second_by_second(drawn):
    drawn = apart(drawn)
    turns = taking(*drawn)
    speaking = [sum(start <= t < end for _, start, end in drawn) for t in range(80)]
    assert turns.overlap_seconds == sum(count > 1 for count in speaking)
    assert turns.silence_until(80)[0] == speaking.count(0)
    regions = sum(now > 1 and before <= 1 for before, now in pairwise([0, *speaking]))
    assert turns.overlaps == regions


@given(utterances)
def test_only_simultaneous_speech_interrupts_and_everyone_who_holds_the_floor_has_turns(drawn):
    turns = taking(*apart(drawn))
    for each in turns.speakers.values():
        assert each.interruption_seconds > each.interruptions * INTERRUPTION or not (
            each.interruptions
        )
        assert bool(each.longest) == bool(each.count)
        assert all(time >= 0 for time in each.responses)
