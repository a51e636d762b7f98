"""`streamer archive` as a program: whole results, resumed runs, dead workers, poison calls."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.streamer.archive.calls import normalised, write_calls

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return write_calls(tmp_path_factory.mktemp("calls"))


def command(*arguments, bundle):
    settings = ("--set", "asr.backend=none", "--set", f"emotion.bundle={bundle}")
    return [sys.executable, "-m", "streamer.cli", *map(str, arguments), *settings]


def archive(*arguments, bundle, code=0):
    done = subprocess.run(
        command("archive", *arguments, bundle=bundle),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


def event_files(out):
    return sorted(path.name for path in (out / "events").iterdir())


def test_gives_the_events_of_replay(calls, random_bundle, tmp_path):
    out = tmp_path / "out"
    done = archive(calls[0].parent, "--out", out, bundle=random_bundle)
    assert "3 analysed" in done.stdout
    replayed = tmp_path / "replayed.jsonl"
    subprocess.run(
        [
            *command("replay", calls[1], "--speed", "max", bundle=random_bundle),
            *("--quiet", "--jsonl", replayed),
        ],
        check=True,
    )
    (found,) = (out / "events").glob("call_1-*.jsonl")
    assert normalised(found) == normalised(replayed)


def test_one_table_holds_all_utterances(calls, random_bundle, tmp_path):
    archive(calls[0].parent, "--out", tmp_path, bundle=random_bundle)
    utterances = parquet.read_table(tmp_path / "utterances")
    counted = sum(
        event["type"] == "utterance"
        for path in (tmp_path / "events").iterdir()
        for event in normalised(path)
    )
    assert utterances.num_rows == counted > 0
    summaries = parquet.read_table(tmp_path / "summaries")
    assert len(set(summaries["call"].to_pylist())) == 3


def test_does_only_what_is_missing(calls, random_bundle, tmp_path):
    archive(*calls[:2], "--out", tmp_path, bundle=random_bundle)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "events").iterdir()}
    done = archive(*calls, "--out", tmp_path, bundle=random_bundle)
    assert "1 analysed, 2 done before" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert parquet.read_table(tmp_path / "summaries")["call"].to_pylist().count(None) == 0


def test_parts_have_equal_columns_whatever_is_unknown(tmp_path):
    """Nobody answers in the first call: response times and most quarters are unknown."""
    from streamer.archive.tables import add, new_part
    from tests.event_streams import conversation

    events = [*conversation()]
    for number, chosen in enumerate((events[:7] + events[-1:], events)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(event.to_json() + "\n" for event in chosen))
        add(tmp_path, new_part(), [(path.stem, path)])
    assert parquet.read_table(tmp_path / "summaries").num_rows > 0
    assert parquet.read_table(tmp_path / "utterances").num_rows > 0


def test_a_changed_setting_redoes_what_it_touches(calls, random_bundle, tmp_path):
    archive(*calls, "--out", tmp_path, bundle=random_bundle)
    rows = parquet.read_table(tmp_path / "utterances").num_rows
    done = archive(
        *(*calls, "--out", tmp_path, "--set", "emotion.threshold=0.99"), bundle=random_bundle
    )
    assert "3 analysed" in done.stdout
    assert parquet.read_table(tmp_path / "utterances").num_rows == rows
    done = archive(
        *(*calls, "--out", tmp_path, "--set", "emotion.threshold=0.99"), bundle=random_bundle
    )
    assert "0 analysed, 3 done before" in done.stdout


def test_a_bad_recording_fails_alone(calls, random_bundle, tmp_path):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no recording")
    out = tmp_path / "out"
    done = archive(bad, calls[0], "--out", out, bundle=random_bundle, code=1)
    assert "1 analysed" in done.stdout
    assert "1 failed" in done.stdout
    assert "bad.wav: not a recording" in done.stderr
    again = archive(bad, calls[0], "--out", out, bundle=random_bundle, code=1)
    assert "1 failed before" in again.stdout
    assert "not a recording" not in again.stderr


def test_compressed_events_make_reports_too(calls, random_bundle, tmp_path):
    pytest.importorskip("zstandard")
    archive(calls[0], "--out", tmp_path, "--compress", "--report", bundle=random_bundle)
    (events,) = (tmp_path / "events").glob("*.jsonl.zst")
    assert (tmp_path / "reports" / "index.html").is_file()
    page = tmp_path / "page.html"
    subprocess.run(
        [sys.executable, "-m", "streamer.cli", "report", events, "--out", page], check=True
    )
    assert page.stat().st_size > 1_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_interrupted_is_finished_by_the_next(calls, random_bundle, tmp_path, number):
    """One that was killed: tests/tools/test_benchmark_archives.py."""
    first = subprocess.Popen(
        command("archive", calls[0].parent, "--out", tmp_path, "--jobs", 1, bundle=random_bundle),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (tmp_path / "events").is_dir() or not event_files(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.02)
    first.send_signal(number)
    assert first.wait(60) == 130
    archive(calls[0].parent, "--out", tmp_path, bundle=random_bundle)
    names = event_files(tmp_path)
    assert len(names) == 3
    assert not any(name.startswith(".") for name in names)
    for path in (tmp_path / "events").iterdir():
        assert normalised(path)[-1]["type"] == "session_ended"
    rows = parquet.read_table(tmp_path / "summaries")
    assert len(set(rows["call"].to_pylist())) == 3


def test_a_call_that_kills_its_worker_is_set_aside(calls, random_bundle, tmp_path):
    """A source of another package kills the process that opens one of the calls."""
    poison = tmp_path / "poison.wav"
    poison.write_bytes(calls[0].read_bytes())
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "from streamer.archive import analysis\n"
        "real = analysis.analyse\n"
        "def analyse(job, *rest, **more):\n"
        "    if 'poison' in job.source:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(job, *rest, **more)\n"
        "analysis.analyse = analyse\n"
    )
    out = tmp_path / "out"
    done = subprocess.run(
        command("archive", poison, calls[1], "--out", out, bundle=random_bundle),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert done.returncode == 1, done.stderr
    assert "1 analysed" in done.stdout
    assert "1 set aside" in done.stdout
    assert "set aside after 3 attempts" in done.stderr
    with sqlite3.connect(out / "ledger.sqlite") as ledger:
        states = dict(ledger.execute("SELECT state, attempts FROM calls"))
    assert states == {"done": 0, "set aside": 3}


def test_two_runs_do_not_share_a_target(calls, random_bundle, tmp_path):
    from streamer.archive.ledger import Ledger

    with Ledger(tmp_path):
        done = archive(calls[0], "--out", tmp_path, bundle=random_bundle, code=2)
    assert "another run writes there" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "out"], "nowhere: no such file or folder"),
        ([".", "--out", "out", "--jobs", "-1"], "--jobs -1: expected"),
        ([".", "--out", "out", "--engine", "magic"], "no archive engine 'magic'"),
    ],
)
def test_says_in_one_line_what_is_wrong(random_bundle, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = archive(*arguments, bundle=random_bundle, code=2)
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
