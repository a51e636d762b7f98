"""Turns that were cut, and how long their ends were waited for."""

import numpy as np
import pytest

from streamer.settings.shipped import sample_call
from streamer.settings.tree import Segmentation
from streamer.speech import SpeechEnded, SpeechStarted
from tools.data.decoding import decode
from tools.evaluate.endpoints import alone, compare, decided, joined, report
from tools.evaluate.rttm import Turn


def ended(voice_end, wait):
    end = round(voice_end * 16000)
    return SpeechEnded(0, 0, end, end, end + round(wait * 16000), np.zeros(1, np.float32))


def test_segments_of_one_speaker_with_breath_in_between_are_a_turn():
    segments = [Turn(0, 1, 1, "a"), Turn(2, 3, 1, "a"), Turn(5, 6, 1, "a")]
    assert joined(segments) == [(0, 3), (5, 6)]


def test_another_speaker_in_between_ends_a_turn():
    segments = [Turn(0, 1, 1, "a"), Turn(1.2, 1.6, 1, "b"), Turn(2, 3, 1, "a")]
    assert joined(segments) == [(0, 1), (2, 3), (1.2, 1.6)]


def test_an_end_inside_of_a_turn_cuts_it_and_one_at_its_end_is_right():
    found = compare([ended(2.0, 0.5), ended(5.1, 0.2), ended(9.0, 0.7)], [(0.0, 5.0)])
    assert (found.ends, found.cut) == (3, 1)
    assert found.right == pytest.approx((0.2,))
    assert found.waits == pytest.approx((0.5, 0.2, 0.7))


def test_where_a_long_utterance_was_split_nothing_was_decided():
    first, last = ended(2.0, 0.0), ended(5.0, 0.5)
    events = [first, SpeechStarted(0, first.end, first.at), last]
    assert decided(events) == [last]


def test_an_utterance_that_reaches_back_to_the_end_of_the_last_one_is_no_split():
    first = ended(2.0, 0.21)
    assert decided([first, SpeechStarted(0, first.end, first.at + 4800)]) == [first]


def test_reports_sums_medians_and_intervals():
    one = compare([ended(2.0, 0.5), ended(5.1, 0.2)], [(0.0, 5.0)])
    result = report([one, one])
    assert result["cut"] == {"value": 2, "low": 2.0, "high": 2.0}
    assert result["wait"]["right"]["median"] == 0.2
    assert report([compare([], [])])["wait"]["all"]["median"] is None


def test_in_a_clip_that_is_one_turn_only_the_last_end_is_right():
    call = decode(sample_call())[: 4 * 16000]  # a sentence
    settings = Segmentation(endpoint="fixed")
    whole = alone(call, settings)
    assert (whole.cut, len(whole.right)) == (0, 1)
    twice = alone(np.concatenate([call, np.zeros(16000, np.float32), call]), settings)
    assert (twice.ends, twice.cut, len(twice.right)) == (2 * whole.ends, 1, 1)
    assert alone(np.zeros(16000, np.float32), settings).right == ()
