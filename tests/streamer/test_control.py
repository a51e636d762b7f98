"""Conversations are stopped once, for the first reason given."""

from streamer.commands.keys import on_key
from streamer.control import Control


def test_the_first_reason_to_stop_counts():
    control = Control()
    assert control.stopped is None
    control.stop("terminated")
    control.stop()
    assert control.stopped == "terminated"


def test_calls_back_once_while_registered():
    control, calls = Control(), []
    with control.on_stop(lambda: calls.append("left")):
        pass
    with control.on_stop(lambda: calls.append("stopped")):
        control.stop()
        control.stop()
    assert calls == ["stopped"]


def test_calls_back_at_once_if_already_stopped():
    control, calls = Control(), []
    control.stop()
    with control.on_stop(lambda: calls.append("stopped")):
        assert calls == ["stopped"]


def test_keeps_marks_in_order():
    control = Control()
    control.mark()
    control.mark("hung up")
    assert [control.marks.get_nowait(), control.marks.get_nowait()] == [None, "hung up"]


async def test_a_summary_can_be_asked_for():
    control = Control()
    on_key(control)("s")
    assert control.summaries.get_nowait() is None
