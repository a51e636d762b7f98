"""The dashboard in a real browser (Debian's chromium), with a microphone that plays the sample call."""

import contextlib
import json
import wave

import pytest

from tests.brokers import Mosquitto
from tests.browser import CHROMIUM, serious_faults
from tests.streamer.web.serving import samples, server, wait_for

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
playwright = pytest.importorskip("playwright.sync_api")


@contextlib.contextmanager
def browser(tmp_path, width=1100, scheme="light"):
    """A page of a browser whose microphone hears the caller; console errors fail the test."""
    if not CHROMIUM:
        pytest.skip("chromium is not installed")
    voice = tmp_path / "voice.wav"
    with wave.open(str(voice), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples(rate=48_000)[:, 1].tobytes())
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                *("--no-sandbox", "--use-fake-device-for-media-stream"),
                *("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={voice}"),
            ],
        )
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: problems.append(message.text) if message.type == "error" else None,
        )
        try:
            yield page
        finally:
            chromium.close()
        assert [p for p in problems if "WebSocket connection" not in p] == []


def talk(address, session, seconds=12):
    with client.connect(f"ws://{address}/ws") as websocket:
        start = {"type": "start", "session": session, "channels": ["agent", "customer"]}
        websocket.send(json.dumps({**start, "live": False}))
        websocket.send(samples(seconds).tobytes())
        websocket.send(json.dumps({"type": "end"}))
        return [json.loads(message) for message in websocket]


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle) as (address, _):
        yield address


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1_920, "dark")])
def test_shows_a_conversation_without_faults(address, tmp_path, width, scheme):
    spoken = [e for e in talk(address, f"call-{width}") if e["type"] == "utterance"]
    with browser(tmp_path, width, scheme) as page:
        page.goto(f"http://{address}/")
        page.get_by_role("button", name=f"call-{width}").click()
        lines = page.locator("#transcript li:has(.emotion)")
        wait_for(lambda: lines.count() == len(spoken) or page.wait_for_timeout(50))
        assert page.locator(".speaker h3").all_inner_texts() == ["agent", "customer"]
        assert page.locator(".speaker polyline").count() >= 1
        wide = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert wide
        assert serious_faults(page) == []


@pytest.mark.parametrize("encoding", ["opus", "pcm"])
def test_analyses_the_microphone_of_the_page(address, tmp_path, encoding):
    with browser(tmp_path) as page:
        page.goto(f"http://{address}/")
        page.locator("#encoding").select_option(encoding)
        page.get_by_role("button", name="Start my microphone").click()
        wait_for(
            lambda: page.locator("#transcript li .emotion").count() or page.wait_for_timeout(100),
            40,
        )
        page.get_by_role("button", name="Stop my microphone").click()
        session = page.locator("#detail-title").inner_text()
        wait_for(
            lambda: (
                "finished" in page.locator(f"[data-session='{session}']").inner_text()
                or page.wait_for_timeout(100)
            )
        )


def test_sends_pcm_where_the_browser_has_no_recorder(address, tmp_path):
    with browser(tmp_path) as page:
        page.add_init_script("delete window.MediaRecorder")
        page.goto(f"http://{address}/")
        assert page.locator("#encoding option").all_inner_texts() == ["PCM (as it is)"]


def test_steers_a_conversation_and_opens_its_report(address, tmp_path):
    with client.connect(f"ws://{address}/ws") as own, browser(tmp_path) as page:
        own.send(json.dumps({"type": "start", "session": "steered"}))
        own.send(samples(2).tobytes())
        page.goto(f"http://{address}/")
        page.get_by_role("button", name="steered").click()
        page.get_by_role("button", name="Mark this moment").click()
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Go on").wait_for()
        assert page.locator("#report").is_hidden()
        page.get_by_role("button", name="End the conversation").click()
        types = [json.loads(message)["type"] for message in own]
        assert "mark" in types
        assert types[-1] == "session_ended"
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Report").click()
        report = opened.value
        report.wait_for_load_state()
        assert "steered" in report.content()
        assert page.locator("#steering").is_hidden()


def test_shows_fifty_conversations_at_once(address, tmp_path):
    with contextlib.ExitStack() as stack:
        for number in range(50):
            socket = stack.enter_context(client.connect(f"ws://{address}/ws"))
            socket.send(json.dumps({"type": "start", "session": f"one-of-fifty-{number:02}"}))
            socket.send(samples(1).tobytes())
        page = stack.enter_context(browser(tmp_path, 360))
        page.goto(f"http://{address}/")
        rows = page.locator("#conversations button", has_text="one-of-fifty")
        wait_for(lambda: rows.count() == 50 or page.wait_for_timeout(50))
        rows.nth(49).click()
        assert page.locator("#detail-title").inner_text() == rows.nth(49).get_attribute(
            "data-session"
        )
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert serious_faults(page) == []


def test_shows_the_nodes_of_a_broker(random_bundle, tmp_path):
    with contextlib.ExitStack() as stack:
        broker = Mosquitto(tmp_path / "broker").start()
        stack.callback(broker.kill)
        options = ("--mqtt", broker.url(), "--fleet", "--set", "mqtt.node=desk-1")
        address, _ = stack.enter_context(server(random_bundle, *options))
        talk(address, "call-1", 4)
        page = stack.enter_context(browser(tmp_path, 360))
        page.goto(f"http://{address}/")
        row = page.get_by_role("row", name="desk-1")
        row.wait_for()
        assert "stopped" in row.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert serious_faults(page) == []
        broker.kill()
        wait_for(
            lambda: (
                "trying again" in page.locator("#fleet-state").inner_text()
                or page.wait_for_timeout(50)
            )
        )


def test_reconnects_without_doubles(random_bundle, tmp_path):
    with server(random_bundle) as (address, first):
        spoken = [e for e in talk(address, "call-1") if e["type"] == "utterance"]
        with browser(tmp_path) as page:
            page.goto(f"http://{address}/")
            lines = page.locator("#transcript li:has(.emotion)")
            wait_for(lambda: lines.count() == len(spoken) or page.wait_for_timeout(50))
            first.terminate()
            first.wait(20)
            wait_for(
                lambda: (
                    "Connection lost" in page.locator("#connection").inner_text()
                    or page.wait_for_timeout(50)
                )
            )
            with server(random_bundle, port=address.rpartition(":")[2]):
                wait_for(
                    lambda: (
                        page.locator("#connection").inner_text() == "Connected"
                        or page.wait_for_timeout(50)
                    )
                )
                assert lines.count() == len(spoken)
