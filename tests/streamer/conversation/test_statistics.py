"""Statistics: the summary before the end is what a reader of the whole file computes."""

from hypothesis import given
from hypothesis import strategies as st

from streamer import events
from streamer.conversation.statistics import Statistics
from streamer.settings.alerts import SilenceRule
from streamer.views import view
from tests.composed_calls import Said, compose

spoken = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 60), st.floats(0, 9)), max_size=12
)


@given(spoken, st.floats(70, 100))
def test_the_summary_before_the_end_has_the_figures_of_the_stored_events(drawn, duration):
    call = compose([Said(who, start, start + length) for who, start, length in drawn], duration)
    statistics = Statistics([])
    for event in call[:-1]:
        assert statistics.take(event) == []
    statistics.advance(duration)
    summary = statistics.summary()
    stored = [events.parse(event.to_json()) for event in call]
    assert summary == dict(view(stored).figures())


def test_silence_until_the_end_is_raised_before_the_summary():
    statistics = Statistics([SilenceRule(name="quiet", when="silence", seconds=5)])
    for event in compose([Said("a", 0, 2)], 10.0)[:-1]:
        statistics.take(event)
    (alert,) = statistics.advance(10.0)
    assert alert == {
        "rule": "quiet",
        "active": True,
        "at": 7.0,
        "since": 2.0,
        "speaker": None,
        "evidence": [],
    }
