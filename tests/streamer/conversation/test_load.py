"""Work is shed in a fixed order while analysis is behind, and each step is reported once."""

import math

import pytest

from streamer.control import LiveStatus
from streamer.conversation.load import LoadPolicy
from streamer.runtime.pressure import BUSY, FULL, ROOM
from streamer.speech import Effort


def test_sheds_what_is_cheapest_to_lose_first():
    policy, states = LoadPolicy(4.0), []
    for lag in (0.2, 0.3, 0.5, 1.0, 0.2):
        policy.measure(lag)
        states.append((policy.effort, policy.transcribes))
    assert states == [
        (Effort.ALL, True),
        (Effort.LESS, True),
        (Effort.LEAST, True),
        (Effort.LEAST, False),
        (Effort.ALL, True),
    ]


def test_reports_each_escalation_once():
    policy, messages = LoadPolicy(4.0), []
    for lag in (0.3, 0.5, 0.6, 1.1, 3.0, 0.5, 1.2, 0.0, 0.5):
        policy.measure(lag)
        messages.append(policy.escalation())
    assert messages[1] == (
        "0.5 s of audio behind: no estimates while people speak, and silence alone ends turns, "
        "until it has caught up"
    )
    assert [place for place, message in enumerate(messages) if message] == [1, 3, 6, 8]


def test_asks_turns_again_only_once_it_has_caught_up():
    policy, asked = LoadPolicy(4.0), []
    for lag in (0.5, 0.4, 0.3, 0.2, 0.4):
        policy.measure(lag)
        asked.append(policy.effort > Effort.LEAST)
    assert asked == [False, False, False, True, True]


def test_busy_workers_shed_before_any_audio_waits():
    policy, efforts, messages = LoadPolicy(4.0), [], []
    for pressure in (ROOM, BUSY, FULL, BUSY, ROOM):
        policy.take_pressure(pressure)
        efforts.append(policy.effort)
        messages.append(policy.escalation())
    assert efforts == [Effort.ALL, Effort.LESS, Effort.LEAST, Effort.LESS, Effort.ALL]
    assert [*map(bool, messages)] == [False, False, True, False, False]
    assert messages[2].startswith("too many conversations: no estimates while people speak, and")


def test_shows_lag_and_shedding_in_the_status():
    status = LiveStatus()
    policy = LoadPolicy(4.0, status)
    policy.measure(0.9)
    assert (status.lag, status.behind) == (0.9, False)
    policy.measure(1.0)
    assert (status.lag, status.behind) == (1.0, True)


def test_bounds_what_waits_by_the_lag():
    assert LoadPolicy(4.0).max_waiting == 64_000


def test_a_recording_sheds_nothing():
    policy = LoadPolicy()
    policy.measure(1e6)
    policy.take_pressure(FULL)
    assert policy.effort == Effort.ALL
    assert policy.transcribes
    assert policy.escalation() == ""
    assert policy.transcript_deadlines(None) == (math.inf, math.inf)


def test_a_transcript_must_begin_halfway_to_the_bound_and_be_there_at_it():
    assert LoadPolicy(4.0).transcript_deadlines(10.0) == (12.0, 14.0)


@pytest.mark.parametrize("before", [[], [False], [True, False]])
def test_reports_the_first_overdue_transcript_in_a_row(before):
    policy = LoadPolicy(4.0)
    for overdue in before:
        policy.transcript_overdue(overdue=overdue)
    assert policy.transcript_overdue(overdue=True).startswith("transcription is behind")
    assert policy.transcript_overdue(overdue=True) == ""
