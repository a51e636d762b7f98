"""Alerts delivered: to a real HTTP server, to a real program."""

import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streamer import events
from streamer.errors import UserError
from streamer.registry import SinkContext
from streamer.settings.tree import Settings
from streamer.sinks import execute, webhook
from streamer.sinks.execute import ExecuteSink
from streamer.sinks.webhook import WebhookSink, signature
from tests.composed_calls import compose

KEY = "key"
FIELDS = {"session": "call", "time": "2026-01-02T03:04:05Z", "at": 9.0, "since": 4.5}


def alert(seq=7, rule="angry", **fields):
    return events.Alert(**FIELDS, seq=seq, rule=rule, speaker="customer", **fields)


async def deliver(sink, *stream):
    """What a sink reports while it delivers events."""
    reported = []
    sink.report = reported.append
    async with sink:
        for event in stream:
            await sink.emit(event)
    return reported


@pytest.fixture
def receiver():
    """An HTTP server that answers what `answers` says, then 200; `taken` holds the requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.taken.append((dict(self.headers), body))
            code = server.answers.pop(0) if server.answers else 200
            self.send_response(code)
            if code == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.taken, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/hook?token=hidden"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_posts_alerts_signed_and_nothing_else(receiver):
    sink = WebhookSink(receiver.url, secret=KEY)
    stream = [*compose([], 3.0), alert(), alert(seq=8, active=False)]
    assert await deliver(sink, *stream) == []
    ((headers, body),) = receiver.taken
    assert json.loads(body)["rule"] == "angry"
    assert headers["X-Streamer-Delivery"] == "call/7"
    expected = signature(KEY, headers["X-Streamer-Timestamp"], body)
    assert headers["X-Streamer-Signature"] == expected


async def test_tries_again_while_the_receiver_cannot(receiver):
    receiver.answers = [503, 429]
    sink = WebhookSink(receiver.url, pause=0.01)
    assert await deliver(sink, alert(), alert(seq=8)) == []
    deliveries = [headers["X-Streamer-Delivery"] for headers, _ in receiver.taken]
    assert deliveries == ["call/7", "call/7", "call/7", "call/8"]


@pytest.mark.parametrize(("answers", "tries"), [([404], 1), ([302], 1), ([500] * 3, 3)])
async def test_gives_up_and_reports_without_the_secret_part_of_the_url(receiver, answers, tries):
    receiver.answers = list(answers)
    sink = WebhookSink(receiver.url, secret=KEY, attempts=3, pause=0.01)
    (problem,) = await deliver(sink, alert())
    assert problem == f"alert angry: webhook 127.0.0.1 answered {answers[0]}"
    assert len(receiver.taken) == tries


async def test_a_receiver_that_is_not_there_is_reported():
    sink = WebhookSink("http://127.0.0.1:9/hook", attempts=2, pause=0.01)
    (problem,) = await deliver(sink, alert())
    assert "webhook 127.0.0.1: " in problem
    assert "refused" in problem


async def test_a_receiver_that_hangs_delays_neither_events_nor_the_end():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        sink = WebhookSink(url, timeout=0.2, attempts=20, pause=10)
        reported = await deliver(sink, *[alert(seq=n) for n in range(105)])
    assert reported[0] == "too many alerts wait: angry is dropped"
    assert reported[-1] == "100 alerts could not be delivered in time"


async def test_runs_a_program_with_the_event_as_its_input(tmp_path):
    out = tmp_path / "out"
    program = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + os.environ['STREAMER_ALERT_RULE'])"
    sink = ExecuteSink([sys.executable, "-c", program, str(out)])
    odd = '"; rm -rf $HOME #'
    assert await deliver(sink, alert(rule=odd)) == []
    line, rule = out.read_text().splitlines()
    assert events.parse(line).rule == rule == odd


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with exit code 3"),
        (["/no/such/program"], "/no/such/program: no such file or directory"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], "ran for over 0.5 s"),
    ],
)
async def test_a_program_that_fails_is_reported(command, problem):
    (reported,) = await deliver(ExecuteSink(command, timeout=0.5), alert())
    assert problem in reported


def made(plugin, **alerts):
    return plugin.make(context=SinkContext(Settings.model_validate({"alerts": alerts})))


def test_the_settings_say_where_alerts_go(tmp_path):
    (tmp_path / "key").write_text("key\n")
    hook = {"webhook": "https://host/hook", "webhook_secret": {"file": tmp_path / "key"}}
    assert isinstance(made(webhook.PLUGIN, **hook), WebhookSink)
    assert isinstance(made(execute.PLUGIN, exec=["page"]), ExecuteSink)
    assert made(webhook.PLUGIN) is None
    assert made(execute.PLUGIN) is None


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_secret_that_cannot_be_read_is_refused(tmp_path, name):
    (tmp_path / "empty").write_text("")
    with pytest.raises(UserError, match=f"webhook_secret\\.file .*{name}: "):
        made(webhook.PLUGIN, webhook="https://host", webhook_secret={"file": tmp_path / name})
