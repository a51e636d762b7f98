from streamer import events
from streamer.mqtt.state import NodeView
from tests.event_streams import BEGIN, conversation


def view_of(stream) -> NodeView:
    view = NodeView()
    for event in stream:
        view.take(event)
    return view


def test_a_speaker_speaks_from_the_start_of_speech_to_the_utterance():
    stream = list(conversation(30))
    assert view_of(stream[:3]).speakers["agent"].speaking
    assert not view_of(stream[:6]).speakers["agent"].speaking


def test_the_emotion_is_as_old_as_its_first_utterance():
    stream = list(conversation(30))
    utterances = [event for event in stream if isinstance(event, events.Utterance)]
    first, _, third = utterances[:3]
    same = third.model_copy(update={"emotion": first.emotion})
    assert view_of([first, same]).speakers["agent"].since == first.time
    assert view_of([first, third]).speakers["agent"].since == third.time


def test_nobody_speaks_after_the_end_of_the_session():
    stream = list(conversation(30))
    view = view_of([*stream[:2], stream[-1]])
    assert not view.speakers["agent"].speaking
    assert view.changed == {"agent"}
    assert view.node.session is None


def test_diagnostics_count_losses_of_each_session():
    stream = list(conversation(30))
    gap = events.Gap(
        session="call", seq=9, time=BEGIN, channel="agent", start=1, end=3.5, reason="x"
    )
    view = view_of([*stream[:8], gap])
    assert view.node.lost_audio == 2.5
    assert view.node.utterances == 1
    assert view.node.lag_ms == 559
    view.gave_up(3)
    view.take(stream[0])
    assert view.node.lost_audio == 0
    assert view.node.given_up == 3


def test_a_speakers_state_has_the_share_of_the_talk_and_the_score():
    state = view_of(conversation(30)).speakers["agent"]
    assert state.talk_share is not None
    assert 0 < state.talk_share < 1
    assert state.overall is not None


def test_conversations_side_by_side_keep_their_own_figures():
    one = list(conversation(14, session="one", channels=("a", "b")))
    two = list(conversation(14, session="two", channels=("c", "d")))
    view = view_of(
        [one[0], two[0], *(event for pair in zip(one[1:], two[1:], strict=True) for event in pair)]
    )
    assert {name: state.session for name, state in view.speakers.items()} == {
        "a": "one",
        "b": "one",
        "c": "two",
        "d": "two",
    }
    assert view.speakers["a"].talk_share == view.speakers["c"].talk_share == 0.5


def test_active_alerts_are_in_the_diagnostics_until_they_or_the_session_are_over():
    stream = list(conversation(8))
    alert = events.Alert(
        session="call", seq=9, time=BEGIN, rule="angry", at=2, since=1, speaker="agent"
    )
    view = view_of([*stream[:-1], alert])
    assert view.node.alerts == ["angry"]
    view.take(alert.model_copy(update={"active": False}))
    assert view.node.alerts == []
    view.take(alert)
    view.take(stream[-1])
    assert view.node.alerts == []
