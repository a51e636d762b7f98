"""What operators run beside the server: logs, Prometheus, Grafana's dashboard, units, containers."""

import configparser
import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from streamer.cli import _parser
from tests.streamer.web.serving import free_port, samples, server, wait_for

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
DASHBOARD = json.loads((CONFIGS / "grafana.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SECRET = "a-token-of-some-length"  # noqa: S105


def converse(address, seconds=6, **start):
    with client.connect(f"ws://{address}/ws") as websocket:
        websocket.send(
            json.dumps({"type": "start", "channels": ["a", "b"], "live": False, **start})
        )
        websocket.send(samples(seconds).tobytes())
        websocket.send(json.dumps({"type": "end"}))
        return [json.loads(message) for message in websocket]


@contextlib.contextmanager
def prometheus(folder, address):
    """A real Prometheus that scrapes the server each second; gives its own address."""
    program = shutil.which("prometheus")
    if not program:
        pytest.skip("prometheus is not installed")
    configuration = (CONFIGS / "prometheus.yml").read_text()
    token = folder / "token"
    token.write_text(SECRET)
    changes = {"15s": "1s", "/etc/streamer-token": str(token), "127.0.0.1:8765": address}
    for old, new in changes.items():
        assert old in configuration
        configuration = configuration.replace(old, new)
    (folder / "prometheus.yml").write_text(configuration)
    own = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={folder}/prometheus.yml", f"--web.listen-address={own}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--storage.tsdb.path={folder}/data"], stdout=log, stderr=log
        )
    try:
        yield own
    finally:
        process.terminate()
        process.wait(20)


def query(address, expression):
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url) as response:
            answer = json.load(response)
            assert answer["status"] == "success"
            return answer["data"]["result"]
    return []


def test_prometheus_scrapes_and_every_query_of_the_dashboard_is_answered(random_bundle, tmp_path):
    with (
        server(random_bundle, environment={"STREAMER_WEB_TOKEN": SECRET}) as (address, _),
        prometheus(tmp_path, address) as own,
    ):
        wait_for(lambda: query(own, "streamer_sessions"), 60)
        converse(address, token=SECRET)
        wait_for(lambda: query(own, "sum(streamer_utterances_total) > 0"))
        for expression in QUERIES:
            plain = expression.replace("$__rate_interval", "1m").replace("$job", ".+")
            query(own, plain)
        for name in {name for each in QUERIES for name in re.findall(r"[a-z_]+(?=\{)", each)}:
            assert query(own, f"count({name})") or name == "streamer_errors_total", name


def test_metrics_need_the_token(random_bundle):
    with server(random_bundle, environment={"STREAMER_WEB_TOKEN": SECRET}) as (address, _):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{address}/metrics")
        assert refused.value.code == 401
        refused.value.close()


def test_logs_are_json_if_asked_for(random_bundle, tmp_path):
    said = []
    with server(random_bundle, "--set", "log.format=json", "--set", "web.max_ahead=1") as (
        address,
        process,
    ):
        with client.connect(f"ws://{address.partition('/')[0]}/ws") as websocket:
            websocket.send(json.dumps({"type": "start"}))
            for _ in range(3):  # two seconds each
                websocket.send(samples(2).tobytes())
            list_until_closed(websocket)
        process.terminate()
        said = process.stderr.read().splitlines()
    for line in said:
        assert {"time", "level", "part", "message"} <= json.loads(line).keys()
    assert any("ahead of real time" in line for line in said)


def list_until_closed(websocket):
    with contextlib.suppress(Exception):
        for _ in websocket:
            pass


def test_many_conversations_end_properly_when_stopped(random_bundle):
    with server(random_bundle, cores=2) as (address, process), contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(client.connect(f"ws://{address}/ws")) for _ in range(8)]
        spoken, silent = samples(2).tobytes(), bytes(640)
        for number, socket_ in enumerate(sockets):
            socket_.send(json.dumps({"type": "start", "channels": ["a", "b"]}))
            socket_.send(spoken)
            assert json.loads(socket_.recv())["type"] == "session_started"
            for earlier in sockets[:number]:  # a connection that says nothing for long is ended
                earlier.send(silent)
        process.terminate()
        for socket_ in sockets:
            last = None
            with contextlib.suppress(Exception):
                for message in socket_:
                    last = json.loads(message)
            assert (last["type"], last["reason"]) == ("session_ended", "terminated")
        assert process.wait(60) == 0


def test_a_connection_that_has_to_wait_when_the_server_is_stopped_is_no_error(random_bundle):
    options = ("--set", "web.max_ahead=1")
    with (
        server(random_bundle, *options) as (address, process),
        client.connect(f"ws://{address}/ws") as websocket,
    ):
        websocket.send(json.dumps({"type": "start"}))
        for _ in range(3):
            websocket.send(samples(2).tobytes())
        while json.loads(websocket.recv())["type"] != "session_ended":
            pass
        process.terminate()  # the flood would be refused only after ten seconds
        said = process.stderr.read()
    assert "Traceback" not in said


@pytest.mark.parametrize("cores", [1, 2])
def test_what_the_analysis_lacks_is_said_before_anybody_connects(random_bundle, cores):
    wrong = ("--set", 'segmentation.detector_options={"speed": 1}')
    with (
        pytest.raises(AssertionError, match=r"segmentation\.detector_options"),
        server(random_bundle, *wrong, cores=cores),
    ):
        pass


def test_tells_systemd_when_it_is_ready_and_stops(random_bundle, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(path))
        notices.settimeout(60)
        with server(random_bundle, environment={"NOTIFY_SOCKET": str(path)}):
            assert notices.recv(1000).startswith(b"READY=1\nSTATUS=listening on http://127.0.0.1")
        assert notices.recv(1000) == b"STOPPING=1"


def test_the_unit_starts_a_command_that_exists():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(CONFIGS / "streamer-serve.service")
    program, *arguments = unit["Service"]["ExecStart"].split()
    assert program.endswith("/streamer")
    options = _parser().parse_args(arguments)
    assert (options.host, options.jsonl) == ("0.0.0.0", "${STATE_DIRECTORY}/")  # noqa: S104


def test_the_container_runs_as_nobody_special_and_says_how_it_is():
    lines = (CONFIGS / "Containerfile").read_text().split("FROM $BASE")[-1].splitlines()
    assert "USER 10001" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert not any("TOKEN=" in line for line in lines)
    command = json.loads(next(line for line in lines if line.startswith("CMD")).split(" ", 1)[1])
    assert _parser().parse_args(command).host == "0.0.0.0"  # noqa: S104
