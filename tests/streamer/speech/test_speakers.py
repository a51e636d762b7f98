"""Online clustering of voices: labels in the order of appearance, never renamed, at a bounded cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.speech.speakers import Merged, SpeakerClusters, Thresholds

PEOPLE = np.eye(16, dtype=np.float32)
"""Voices that have nothing in common."""


def voice(person, noise=0.0, seed=0):
    """A voice of somebody, off by an angle whose tangent is `noise`."""
    other = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    mixed = PEOPLE[person] + noise * other / np.linalg.norm(other)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


PLAIN = Thresholds(new=0.66, short_new=0.58, further=0.0, enrolled=0.82, merge=0.88)


def clusters(most=8, **thresholds):
    return SpeakerClusters("mono", most, replace(PLAIN, **thresholds))


def test_labels_speakers_in_the_order_of_their_appearance():
    found = clusters()
    said = [found.assign(voice(person), 2.0) for person in (3, 5, 3, 1, 5)]
    assert said == ["mono/1", "mono/2", "mono/1", "mono/3", "mono/2"]


def test_a_third_speaker_must_be_farther():
    for further, label in ((0.0, "mono/3"), (0.2, "mono/1")):
        found = clusters(further=further)
        found.assign(voice(0), 2.0)
        assert found.assign(voice(1), 2.0) == "mono/2"
        like_the_first = 0.6 * PEOPLE[0] + 0.8 * PEOPLE[2]
        assert found.assign(like_the_first, 2.0) == label


def test_gives_a_short_utterance_to_the_closest_speaker():
    found = clusters()
    found.assign(voice(0), 2.0)
    found.assign(voice(1), 2.0)
    assert found.assign(voice(1, 1.2), 0.5) == "mono/2"
    assert found.assign(voice(9), 0.7) in {"mono/1", "mono/2"}


def test_gives_what_has_no_voice_to_who_spoke_last():
    found = clusters()
    assert found.assign(None, 0.0) == "mono/1"
    found.assign(voice(0), 2.0)
    found.assign(voice(1), 2.0)
    assert found.assign(None, 0.0) == "mono/2"


def test_tells_no_more_speakers_apart_than_the_maximum():
    found = clusters(most=2)
    labels = {found.assign(voice(person), 3.0) for person in range(6)}
    assert labels == {"mono/1", "mono/2"}


def test_merges_speakers_that_turn_out_to_be_one():
    found = clusters(new=0.9, short_new=0.9, merge=0.8)
    assert found.assign(voice(0, 0.9, seed=1), 4.0) == "mono/1"
    assert found.merge() is None
    assert found.assign(voice(0), 4.0) == "mono/2"
    for _ in range(10):
        found.assign(voice(0, 0.4, seed=1), 4.0)
    merged = found.merge()
    assert merged == Merged("mono/2", "mono/1")
    assert found.assign(voice(0), 2.0) == "mono/1"
    assert found.assign(voice(7), 3.0) == "mono/3"  # no label is given twice


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 2), st.floats(0.1, 5)), max_size=30))
def test_the_future_never_changes_the_past(said):
    whole, part = clusters(most=4), clusters(most=4)

    def tell(found, some):
        labels = []
        for person, noise, seconds in some:
            labels.append(found.assign(voice(person, noise, seed=person), seconds))
            labels.append(found.merge())
        return labels

    half = len(said) // 2
    assert tell(whole, said)[: 2 * half] == tell(part, said[:half])


def test_cost_and_memory_do_not_grow_with_time():
    found = clusters()
    for turn in range(5_000):
        found.assign(voice(turn % 8, 0.3, seed=turn), 2.0)
        found.merge()
    assert len(found.similarities(voice(0))) == 8
    assert max(each.seconds for each in found._speakers) <= 60.0 + 1e-9


def test_follows_a_voice_that_changes_slowly():
    found = clusters()
    path = np.linspace(0, 1, 60)
    turns = [(PEOPLE[0] * (1 - x) + PEOPLE[1] * x).astype(np.float32) for x in path]
    labels = {found.assign(each / np.linalg.norm(each), 4.0) for each in turns}
    assert labels == {"mono/1"}


@pytest.mark.parametrize(("seconds", "cosine"), [(0.5, 0.4), (0.8, 0.4), (1.6, 0.5), (9.0, 0.6)])
def test_long_speech_must_be_closer_to_be_of_a_known_speaker(seconds, cosine):
    thresholds = Thresholds(new=0.6, short_new=0.4, shortest=0.8, long=2.4)
    assert thresholds.known(seconds) == pytest.approx(cosine)


def test_names_an_enrolled_person_from_the_first_word():
    found = SpeakerClusters("mono", 8, PLAIN, enrolled={"Ann": voice(3)})
    said = [found.assign(voice(person), 2.0) for person in (5, 3, 5, 3)]
    assert said == ["mono/1", "Ann", "mono/1", "Ann"]


def test_a_stranger_gets_no_name():
    found = SpeakerClusters("mono", 8, PLAIN, enrolled={"Ann": voice(3)})
    assert found.assign(voice(3, 0.9), 2.0) == "mono/1"  # a cosine of about 0.74
    assert found.merge() is None


def off(cosine, person=3, other=9):
    """A voice at this cosine from somebody's."""
    return (cosine * PEOPLE[person] + np.sqrt(1 - cosine**2) * PEOPLE[other]).astype(np.float32)


def test_a_name_that_is_found_late_is_told_and_used_from_then_on():
    found = SpeakerClusters("mono", 8, PLAIN, enrolled={"Ann": voice(3)})
    assert found.assign(off(0.8), 2.0) == "mono/1"
    assert found.assign(voice(3), 30.0) == "mono/1"
    assert found.merge() == Merged("mono/1", "Ann")
    assert found.assign(voice(3), 2.0) == "Ann"
    assert found.assign(None, 0.2) == "Ann"
    assert found.merge() is None


def test_a_name_is_kept_when_speakers_merge():
    found = SpeakerClusters("mono", 8, PLAIN, enrolled={"Ann": voice(3)})
    assert found.assign(off(0.6), 4.0) == "mono/1"
    assert found.assign(voice(3), 4.0) == "Ann"
    assert found.assign(off(0.81), 60.0) == "mono/1"
    found.assign(off(0.95), 60.0)
    found.assign(off(0.95), 60.0)
    assert found.merge() == Merged("mono/1", "Ann")
