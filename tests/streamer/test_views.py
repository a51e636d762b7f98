"""The view: the figures of a conversation from its events, whatever their way."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamer
from streamer import events, talk
from streamer.views import View, view
from tests.composed_calls import BEGIN, Said, certain, compose
from tests.event_streams import conversation


def test_figures_of_a_hand_computed_call():
    call = compose(
        [
            Said("agent", 1.0, 5.0, "neutral", "one two three four"),
            Said("customer", 6.0, 10.0, "angry", "five six"),
            Said("agent", 8.5, 12.0, "neutral", "seven"),
            Said("customer", 15.0, 20.0, "happy", None),
            Said("agent", 19.5, 21.0, None, None),
        ],
        40.0,
        more=[(events.Gap, {"channel": "agent", "start": 30, "end": 31.5, "reason": "lost"})],
    )
    figures = view(call).figures()
    agent, customer = figures.talk["agent"], figures.talk["customer"]
    assert figures.duration == 40
    assert (agent.seconds, customer.seconds) == (9.0, 9.0)
    assert (agent.share, customer.share) == (0.5, 0.5)
    assert (agent.turns, customer.turns) == (3, 2)
    assert (agent.longest_turn, customer.longest_turn) == (4.0, 5.0)
    assert agent.words_per_minute == pytest.approx(60 * 5 / 7.5, abs=0.05)
    assert customer.words_per_minute == 30.0
    assert agent.emotions == {"neutral": round(7.5 / 9, 4)}
    assert customer.emotions == {"angry": round(4 / 9, 4), "happy": round(5 / 9, 4)}
    assert customer.overall == round(5 * (5 - 4) / 9, 2)
    assert [each.score for each in customer.quarters] == [-5.0, 5.0, None, None]
    assert [each.end for each in customer.quarters] == [10, 20, 30, 40]
    assert agent.interruptions == events.Amount(count=1, seconds=1.5)
    assert customer.interruptions == events.Amount(count=0, seconds=0)
    assert figures.overlap == events.Amount(count=2, seconds=2.0)
    assert figures.non_talk == events.NonTalk(seconds=1 + 1 + 3 + 19, longest=19)
    assert figures.response_time == {"customer": 2.0}
    assert figures.gaps == events.Amount(count=1, seconds=1.5)
    assert figures.abstained == 0.2


def test_an_utterance_counts_in_each_quarter_for_its_seconds_there():
    call = compose([Said("a", 0, 8, "happy"), Said("a", 9, 13, "angry")], 40.0)
    quarters = view(call).figures().talk["a"].quarters
    assert [each.score for each in quarters] == [round(5 * (8 - 1) / 9, 2), -5.0, None, None]


def test_valence_comes_from_the_dimensions_where_the_bundle_has_them():
    dimensions = events.Dimensions(valence=0.5, arousal=0)
    call = compose([Said("a", 0, 8, "angry", fields={"dimensions": dimensions})], 10.0)
    assert view(call).figures().talk["a"].overall == 2.5


def test_speakers_found_in_one_channel_have_their_own_figures():
    call = compose(
        [
            Said("mono", 0, 2, fields={"speaker": "mono/1"}),
            Said("mono", 3, 9, fields={"speaker": "mono/2"}),
        ],
        10.0,
    )
    state = view(call)
    assert {name: each.seconds for name, each in state.figures().talk.items()} == {
        "mono/1": 2.0,
        "mono/2": 6.0,
    }
    assert list(state.channels) == ["mono"]


def test_loudness_is_averaged_as_power_and_words_as_words():
    loud = events.Acoustics(loudness_db=-20.0, words_per_minute=120.0)
    quiet = events.Acoustics(loudness_db=-30.0, words_per_minute=60.0)
    call = compose(
        [
            Said("a", 0, 5, text=None, fields={"acoustics": loud}),
            Said("a", 6, 11, text=None, fields={"acoustics": quiet}),
        ],
        12.0,
    )
    figures = view(call).figures().talk["a"]
    assert figures.loudness_db == pytest.approx(-22.6, abs=0.05)
    assert figures.words_per_minute == 90.0


def test_follows_who_speaks_and_how_the_mood_is():
    state = View()
    started, speech, utterance, mood, ended = compose([Said("a", 0, 2, "sad")], 3.0)
    state.take(started)
    state.take(speech)
    assert state.channels["a"].speaking == speech.utterance
    state.take(utterance)
    assert state.channels["a"].speaking is None
    assert state.channels["a"].since == utterance.time
    state.take(mood)
    assert state.channels["a"].mood == mood
    state.take(ended)
    assert state.ended == ended
    assert state.position == 3.0


def test_a_session_that_starts_begins_a_new_view():
    first = compose([Said("a", 0, 2)], 3.0, session="one")
    second = compose([Said("b", 0, 4)], 5.0, session="two")
    state = view([*first, *second])
    assert state.session == "two"
    assert state.figures() == view(second).figures()


def test_alerts_are_counted_by_rule_and_active_until_they_are_over():
    alert = {"session": "call", "seq": 1, "time": "2026-01-02T03:04:05Z", "since": 1.0}
    state = view([events.Alert(**alert, rule="angry", at=2.0, speaker="a")])
    assert state.alerts == {"angry": 1}
    assert list(state.active) == [("angry", "a")]
    state.take(events.Alert(**alert, rule="angry", at=4.0, speaker="a", active=False))
    assert state.alerts == {"angry": 1}
    assert not state.active


def test_events_without_a_beginning_still_give_figures():
    call = compose([Said("a", 1, 2), Said("b", 3, 5)], 6.0)
    assert view(call[1:]).figures() == view(call).figures()


def test_nothing_at_all_gives_figures_of_nothing():
    figures = view([]).figures()
    assert figures.duration == 0
    assert figures.talk == {}


times = st.floats(0, 500, allow_nan=False)


def spoken_by(*speakers):
    emotions = st.sampled_from(["angry", "happy", "neutral", None])
    said_ = st.tuples(st.sampled_from(speakers), times, st.floats(0, 20), emotions)
    return st.lists(said_, max_size=25)


spoken = spoken_by("a", "b")


def said(drawn):
    return [Said(who, start, start + length, label) for who, start, length, label in drawn]


@given(spoken)
def test_figures_are_the_same_live_and_from_what_was_stored(drawn):
    live = compose(said(drawn), 520.0)
    stored = [events.parse(event.to_json()) for event in live]
    assert view(live).figures() == view(stored).figures()


@given(spoken, st.randoms())
def test_figures_do_not_depend_on_the_order_in_which_utterances_arrive(drawn, chance):
    call = compose(said(drawn), 520.0)
    shuffled = call[1:-1]
    chance.shuffle(shuffled)
    figures, other = view(call).figures(), view([call[0], *shuffled, call[-1]]).figures()
    assert _close(other.model_dump(), figures.model_dump())


def _close(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_close(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_close, a, b))
    return a == b if a is None or b is None else a == pytest.approx(b, abs=0.011)


@given(spoken)
def test_figures_fit_together_and_pass_the_wire(drawn):
    figures = view(compose(said(drawn), 520.0)).figures()
    summary = events.Summary(session="s", seq=0, time="2026-01-01T00:00:00Z", **dict(figures))
    assert events.parse(summary.to_json()) == summary
    assert sum(each.share for each in figures.talk.values()) == pytest.approx(1, abs=1e-3) or all(
        each.seconds == 0 for each in figures.talk.values()
    )
    assert figures.non_talk.longest <= figures.non_talk.seconds <= figures.duration
    assert figures.overlap.seconds <= figures.duration


@given(spoken)
def test_can_be_asked_at_any_time_without_changing_what_follows(drawn):
    call = compose(said(drawn), 520.0)
    state = View()
    for event in call:
        state.take(event)
        state.figures()
    assert state.figures() == view(call).figures()


@given(spoken_by("a", "b", "c"), st.data())
def test_merged_speakers_have_the_figures_of_one(drawn, chance):
    """Whenever it turns out, as if it had been known all along."""
    call = compose(said(drawn), 520.0)
    known = [event.model_copy(update={"channel": "a"}) if by_b(event) else event for event in call]
    place = chance.draw(st.integers(1, len(call)))
    common = {"session": "call", "seq": 0, "time": BEGIN, "channel": "mono", "at": 1.0}
    merged = events.SpeakerMerged(**common, speaker="b", into="a")
    found = view([*call[:place], merged, *known[place:]]).figures()
    assert _close(found.model_dump(), view(known).figures().model_dump())


def by_b(event):
    return getattr(event, "channel", None) == "b"


def test_a_speaker_merged_after_hours_keeps_talk_time_and_turns():
    state = View()
    at = 0.0
    for event in conversation(60_000):
        if isinstance(event, events.Utterance):
            at += 2.5
            state.take(event.model_copy(update={"start": at, "end": at + 1.5}))
    common = {"session": "call", "seq": 0, "time": BEGIN, "channel": "mono", "at": at}
    state.take(events.SpeakerMerged(**common, speaker="customer", into="agent"))
    talk_ = state.figures().talk
    assert talk_.keys() == {"agent"}
    assert talk_["agent"].seconds == pytest.approx(9_999 * 1.5)
    assert talk_["agent"].share == 1


def test_memory_stays_bounded_over_very_many_utterances():
    chance = random.Random(1)
    state = View()
    at = 0.0
    for event in conversation(60_000):
        if isinstance(event, events.Utterance):
            at += 2 + chance.random()
            state.take(event.model_copy(update={"start": at, "end": at + 1.5}))
    assert state.utterances == 9_999
    assert all(len(each.valence.points) <= 8192 for each in state.speakers.values())
    assert len(state._recent) <= 4096
    assert state.figures().talk["agent"].seconds == 7500


def test_merged_series_keep_their_means():
    series = talk.Series()
    for index in range(20_000):
        series.add(index, index + 0.5, (index % 3) - 1)
    assert series.mean() == pytest.approx(0, abs=1e-3)
    assert len(series.points) <= 8192
    half = series.mean_within(0, 10_000)
    assert half is not None
    assert abs(half) < 0.01


def test_probabilities_stand_in_for_valence_by_their_prior():
    event = compose([Said("a", 0, 1, "angry")], 1.0)[2]
    assert isinstance(event, events.Utterance)
    assert event.probabilities == certain("angry")
    assert talk.valence(event) == -1.0


def test_the_package_offers_the_reducer():
    call = compose([Said("a", 0, 1)], 2.0)
    assert streamer.view(call).figures() == view(call).figures()
    assert isinstance(streamer.view([]), streamer.View)
