"""The same archive on a real Ray: alone on this machine, and on a cluster that loses nodes, workers and drivers."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.streamer.archive.calls import normalised, write_calls

pytest.importorskip("ray")
pytest.importorskip("pyarrow")

LATE = 200
POISON = """
import os, signal
from streamer.archive import analysis, on_ray
real = analysis.analyse
def analyse(job, *rest, **more):
    if "poison" in job.source:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(job, *rest, **more)
on_ray.analyse = analyse
"""


def command(calls, out, bundle, *more):
    return [
        *(sys.executable, "-m", "streamer.cli", "archive", calls, "--out", out, *more),
        *("--set", "asr.backend=none", "--set", f"emotion.bundle={bundle}"),
    ]


def archive(*arguments, code=0, **environment):
    done = subprocess.run(
        command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=LATE,
        env={**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", **environment},
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return write_calls(tmp_path_factory.mktemp("calls"), count=4)[0].parent


@pytest.fixture(scope="module")
def expected(calls, random_bundle, tmp_path_factory):
    """The events that the local engine gives, by the name of their file."""
    out = tmp_path_factory.mktemp("local")
    archive(calls, out, random_bundle)
    return events(out)


def events(out):
    return {path.name: normalised(path) for path in (out / "events").iterdir()}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A head without cores and two nodes of one core, each as a real one: with processes of its own."""
    from ray.cluster_utils import Cluster

    (tmp_path / "sitecustomize.py").write_text(POISON)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    small = {"object_store_memory": 80 * 1024 * 1024}
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
    )
    made.workers = [made.add_node(num_cpus=1, **small) for _ in range(2)]
    yield made
    made.shutdown()


def wait_for_events(out, count):
    end = time.monotonic() + LATE
    while not (out / "events").is_dir() or len([*(out / "events").glob("*.jsonl")]) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_gives_the_same_events_as_the_local_engine(calls, expected, random_bundle, tmp_path):
    done = archive(calls, tmp_path, random_bundle, "--engine", "ray", "--jobs", "2")
    assert "4 analysed" in done.stdout
    assert events(tmp_path) == expected


def test_lost_nodes_workers_and_drivers_cost_no_call(
    cluster, calls, expected, random_bundle, tmp_path
):
    """A poison call ends its worker three times, a driver is killed, a node is lost under the next one."""
    out = tmp_path / "out"
    poison = calls / "poison.wav"
    poison.write_bytes((calls / "call 0.wav").read_bytes())
    arguments = (calls, out, random_bundle, "--engine", "ray")
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    try:
        first = subprocess.Popen(
            command(*arguments), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        wait_for_events(out, 1)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        second = subprocess.Popen(
            command(*arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        wait_for_events(out, 2)
        cluster.remove_node(cluster.workers[0], allow_graceful=False)
        printed, said = second.communicate(timeout=LATE)
    finally:
        poison.unlink()
    assert second.returncode == 1, said
    assert b"1 set aside" in printed
    assert b"poison.wav: set aside after 3 attempts" in said
    assert events(out) == expected
