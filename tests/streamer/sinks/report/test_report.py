"""Reports: what stands on the page, and how it behaves in a real browser."""

import asyncio
import html
import random
import re
from pathlib import Path

import pytest

from streamer import events
from streamer.errors import UserError
from streamer.sinks.report import ReportSink
from streamer.sinks.report.audio import embedded
from streamer.sinks.report.folder import write_index
from streamer.sinks.report.page import report
from tests.browser import browser_page, serious_faults, until, url
from tests.composed_calls import Said, compose

SAMPLE = Path(__file__).parents[4] / "streamer/samples/call.ogg"
ODD = [
    '<script>alert(1)</script> & "quotes"',
    "two\nlines",
    "שלום, מה שלומך?",
    "😀 done",
    None,
]


def call(session="call"):
    said = [
        Said("agent", 1.0, 4.0, "neutral", "good morning"),
        Said("customer", 4.5, 9.0, "angry", "my parcel is lost"),
        Said("agent", 9.5, 12.0, None, "let me see"),
        *(Said("customer", 13.0 + 3 * i, 15.0 + 3 * i, "sad", text) for i, text in enumerate(ODD)),
        Said("agent", 30.0, 33.0, "happy", "here it is"),
    ]
    more = [
        (events.Gap, {"channel": "agent", "start": 34, "end": 35.5, "reason": "unplugged"}),
        (events.Mark, {"at": 20.0, "label": "listen here"}),
        (
            events.Alert,
            {"rule": "angry", "at": 9.0, "since": 4.5, "speaker": "customer", "evidence": []},
        ),
        (events.Error, {"part": "transcription", "message": "too slow"}),
    ]
    return compose(said, 40.0, session=session, more=more)


def test_the_page_tells_everything_and_escapes_it():
    page = report(call(), notes=["One line could not be read."])
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for wanted in (
        "call.wav",
        "good morning",
        "my parcel is lost",
        ODD[2],
        ODD[3],
        "uncertain",
        "1.50 s of agent lost (unplugged)",
        "listen here",
        "transcription: too slow",
        "One line could not be read.",
        "text of 1 utterances is withheld",
        "Model test 1",
        "perceived expression",
    ):
        assert wanted in text
    assert "<script>alert" not in page


def test_a_conversation_without_utterances_or_beginning_or_end_has_a_page():
    assert "its end is missing" in report(call()[:-1])
    assert "customer" in report(call()[1:])
    assert "00:00" in report([])
    assert "No utterance of mono" in report(compose([], 3.0))


def test_a_long_call_stays_under_three_megabytes():
    chance = random.Random(1)
    words = ["the", "parcel", "was", "not", "there", "nobody", "called", "me", "back", "today"]
    said = [
        Said(
            ("agent", "customer")[i % 2],
            3.6 * i,
            3.6 * i + 3,
            chance.choice(["angry", "happy", "neutral", "sad", None]),
            " ".join(chance.choices(words, k=12)),
        )
        for i in range(2000)
    ]
    assert len(report(compose(said, 7200.0)).encode()) < 3_000_000


@pytest.fixture
def page_file(tmp_path):
    path = tmp_path / "call.html"
    path.write_text(report(call()), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_renders_without_faults_and_axe_finds_none(page_file, scheme):
    with browser_page(scheme=scheme) as page:
        page.goto(url(page_file))
        assert page.locator("ol.talk li").count() == 9 + 3
        assert page.locator("svg.timeline rect.u").count() == 9
        assert serious_faults(page) == []


def test_fits_a_narrow_window(page_file):
    with browser_page(width=320) as page:
        page.goto(url(page_file))
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        assert serious_faults(page) == []


def test_the_transcript_can_be_filtered_and_reached_from_the_timeline(page_file):
    with browser_page() as page:
        page.goto(url(page_file))
        page.get_by_label("Filter").fill("parcel")
        assert page.locator("ol.talk li:visible").count() == 1
        page.get_by_label("Filter").fill("")
        page.locator("rect.u").nth(1).click()
        assert page.locator("li:target .said").inner_text() == "my parcel is lost"


def test_a_turn_plays_from_the_embedded_call_with_the_keyboard(tmp_path):
    path = tmp_path / "call.html"
    path.write_text(report(call(), audio=embedded(SAMPLE)), encoding="utf-8")
    with browser_page() as page:
        page.goto(url(path))
        until(page, "document.querySelector('audio').readyState >= 1")
        assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(
            40.3, abs=0.2
        )
        page.get_by_role("button", name="Play from 00:05").press("Enter")
        until(page, "document.querySelector('audio').currentTime > 4.5")
        assert page.evaluate("!document.querySelector('audio').paused")


def deliver(target, stream):
    async def run():
        async with ReportSink(target) as sink:
            for event in stream:
                await sink.emit(event)

    asyncio.run(run())


def test_the_sink_writes_the_same_page_as_stored_events_give(tmp_path):
    deliver(tmp_path / "call.html", call())
    stored = [events.parse(event.to_json()) for event in call()]
    assert (tmp_path / "call.html").read_text(encoding="utf-8") == report(stored)


def test_an_interrupted_conversation_still_has_its_page(tmp_path):
    deliver(tmp_path / "call.html", call()[:5])
    assert "its end is missing" in (tmp_path / "call.html").read_text(encoding="utf-8")


def test_a_folder_gets_a_page_for_each_and_an_index_worst_quarter_first(tmp_path):
    folder = f"{tmp_path}/reports/"
    deliver(folder, compose([Said("a", 0, 9, "happy")], 10.0, session="good"))
    deliver(folder, compose([Said("a", 0, 9, "angry")], 12.0, session="bad"))
    deliver(folder, compose([], 11.0, session="empty"))
    with browser_page() as page:
        page.goto(url(tmp_path / "reports/index.html"))
        titles = page.locator("tbody th a")
        assert titles.all_inner_texts() == ["bad.wav", "good.wav", "empty.wav"]
        assert serious_faults(page) == []
        page.get_by_role("button", name="Duration").click()
        assert titles.all_inner_texts() == ["good.wav", "empty.wav", "bad.wav"]
        page.get_by_role("button", name="Duration").press("Enter")
        assert titles.all_inner_texts() == ["bad.wav", "empty.wav", "good.wav"]
        titles.first.click()
        assert page.locator("h1").inner_text() == "bad.wav"


def test_the_index_leaves_other_pages_alone(tmp_path):
    (tmp_path / "other.html").write_text("<p>hello")
    (tmp_path / "odd.html").write_text('<script type="application/json" id="card">{}</script>')
    index = write_index(tmp_path).read_text()
    assert "0 reports" in index
    assert "other.html" not in index


def test_a_target_that_cannot_be_written_is_refused_before_the_conversation(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        deliver(tmp_path / "file" / "call.html", [])


def test_tells_where_the_page_is(tmp_path):
    announced = []

    async def run():
        async with ReportSink(tmp_path / "call.html", announce=announced.append) as sink:
            for event in call():
                await sink.emit(event)

    asyncio.run(run())
    assert announced == [f"report: {(tmp_path / 'call.html').as_uri()}\n"]
