"""Alerts: each rule raises once, stays active, is over, and cools down."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from streamer import events
from streamer.conversation.alerts import AlertRules, folded, phrase_pattern
from streamer.settings.alerts import Alerts, Rule
from tests.composed_calls import Said, compose

RULE = TypeAdapter(Rule)


def rule(**fields):
    if fields["when"] in ("emotion", "valence"):
        fields = {"utterances": 1} | fields
    if fields["when"] == "emotion":
        fields = {"above": 0.7} | fields
    return RULE.validate_python({"name": "it", **fields})


def raised(rules, stream):
    watching = AlertRules(rules if isinstance(rules, list) else [rules])
    found = [alert for each in stream for alert in watching.take(each)]
    found += watching.advance(stream[-1].duration)
    return [(alert.speaker, alert.active, alert.at) for alert in found]


def angry(probability, start, channel="customer"):
    fields = {"probabilities": {"angry": probability, "neutral": 1 - probability}}
    return Said(channel, start, start + 2, "angry", fields=fields)


def test_an_emotion_is_raised_once_until_it_is_over():
    call = compose([angry(p, 10 * i) for i, p in enumerate([0.1, 0.8, 0.9, 0.6, 0.8, 0.3])], 90)
    assert raised(rule(when="emotion", emotion="angry", above=0.7), call) == [
        ("customer", True, 12),
        ("customer", False, 52),
    ]


def test_values_around_the_threshold_do_not_raise_again_and_again():
    wavering = [0.72, 0.68, 0.71, 0.69, 0.74, 0.66] * 5
    call = compose([angry(p, 3 * i) for i, p in enumerate(wavering)], 200)
    assert len(raised(rule(when="emotion", emotion="angry", above=0.7, cooldown=0), call)) == 1


def test_after_an_alert_there_is_none_for_the_cooldown():
    call = compose([angry(0.9 * (i % 2), 10 * i) for i in range(20)], 300)
    alerts = raised(rule(when="emotion", emotion="angry", cooldown=65), call)
    assert [at for _, active, at in alerts if active] == [12, 92, 172]


def test_several_utterances_in_a_row_or_a_time_can_be_asked_for():
    call = compose([angry(p, 10 * i) for i, p in enumerate([0.9, 0.1, 0.9, 0.9, 0.9])], 90)
    assert raised(rule(when="emotion", emotion="angry", utterances=2), call)[0][2] == 32
    assert raised(rule(when="emotion", emotion="angry", seconds=20), call)[0][2] == 42


def test_each_speaker_has_a_state_and_a_rule_may_be_about_one():
    call = compose([angry(0.9, 0, "agent"), angry(0.9, 3), angry(0.1, 6, "agent")], 10)
    assert raised(rule(when="emotion", emotion="angry"), call) == [
        ("agent", True, 2),
        ("customer", True, 5),
        ("agent", False, 8),
    ]
    one = rule(when="emotion", emotion="angry", speaker="customer")
    assert raised(one, call) == [("customer", True, 5)]


def test_valence_is_that_of_the_dimensions_or_of_the_labels():
    low = {"dimensions": events.Dimensions(valence=-0.6, arousal=0)}
    call = compose([Said("a", 0, 1, "happy", fields=low), Said("a", 2, 3, "sad")], 4)
    assert raised(rule(when="valence", below=-0.5), call) == [("a", True, 1)]
    assert raised(rule(when="valence", below=-0.9), call) == [("a", True, 3)]


def test_evidence_names_the_utterances():
    call = compose([angry(0.9, 0), angry(0.9, 5)], 10)
    watching = AlertRules([rule(when="emotion", emotion="angry", utterances=2)])
    (alert,) = [alert for each in call for alert in watching.take(each)]
    assert alert.evidence == ["call:customer:0", "call:customer:80000"]
    assert alert.since == 0


def test_silence_is_raised_when_it_has_lasted_and_over_when_someone_speaks():
    call = compose([Said("a", 0, 5), Said("b", 30, 35)], 60)
    assert raised(rule(when="silence", seconds=15, cooldown=0), call) == [
        (None, True, 20),
        (None, False, 30),
        (None, True, 50),
    ]


def test_silence_is_noticed_while_it_lasts():
    watching = AlertRules([rule(when="silence", seconds=15)])
    assert watching.advance(14.9) == []
    assert [alert.at for alert in watching.advance(15.2)] == [15]
    assert watching.advance(16) == []


def test_no_silence_while_someone_speaks():
    started = compose([Said("a", 0, 50)], 60)[:2]
    watching = AlertRules([rule(when="silence", seconds=15)])
    assert [alert for each in started for alert in watching.take(each)] == []
    assert watching.advance(40) == []


def test_overlap_and_gaps_of_enough_seconds_are_raised():
    call = compose(
        [Said("a", 0, 5, fields={"overlap": 2.5}), Said("b", 6, 7, fields={"overlap": 1.0})],
        20,
        more=[
            (events.Gap, {"channel": "a", "start": 8, "end": 8.5, "reason": "lost"}),
            (events.Gap, {"channel": "a", "start": 9, "end": 12, "reason": "lost"}),
        ],
    )
    assert raised(rule(when="overlap", seconds=2), call) == [("a", True, 5)]
    assert raised(rule(when="gap", seconds=1), call) == [("a", True, 12)]


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("cancel", "I want to CANCEL it", True),
        ("cancel", "the cancellation", False),
        ("cancel my contract", "cancel, my  contract!", True),
        ("straße", "in der STRASSE", True),
        ("café", "cafe\u0301 au lait", True),
        ("отмена", "ОТМЕНА заказа", True),  # noqa: RUF001
        ("退款", "我要退款了", True),
        ("إلغاء", "أريد إلغاء العقد", True),
        ("c++", "written in c++ today", True),
        ("a.b", "axb", False),
        ("refund", None, False),
    ],
)
def test_phrases_are_whole_words_whatever_their_case(phrase, text, found):
    call = compose([Said("a", 0, 1, text=text)], 2)
    assert bool(raised(rule(when="phrase", phrases=[phrase]), call)) is found


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_any_phrase_is_found_where_it_stands_alone(phrase, around):
    pattern = phrase_pattern([phrase])
    if folded(phrase).split():
        assert pattern.search(f" {folded(phrase)} ")
    pattern.search(folded(around))


values = st.lists(st.floats(0, 1), max_size=40)


@given(values, st.floats(0, 40), st.integers(1, 3))
def test_alerts_alternate_and_keep_their_cooldown(drawn, cooldown, utterances):
    call = compose([angry(p, 3 * i) for i, p in enumerate(drawn)], 200)
    watched = rule(when="emotion", emotion="angry", cooldown=cooldown, utterances=utterances)
    alerts = raised(watched, call)
    assert [active for _, active, _ in alerts] == [not i % 2 for i in range(len(alerts))]
    begins = [at for _, active, at in alerts if active]
    assert all(b - a >= cooldown for a, b in pairwise(begins))


@pytest.mark.parametrize(
    "fields",
    [
        {"when": "emotion"},
        {"when": "emotion", "emotion": "angry", "above": 0.5, "until": 0.6},
        {"when": "valence", "below": -0.5, "until": -0.6},
        {"when": "phrase", "phrases": []},
        {"when": "other"},
        {"when": "silence", "below": 1},
    ],
)
def test_rules_without_sense_are_refused(fields):
    with pytest.raises(ValidationError):
        rule(**fields)


def test_two_rules_must_not_share_a_name():
    with pytest.raises(ValidationError, match="two rules are called it"):
        Alerts(rules=[rule(when="gap"), rule(when="silence")])
