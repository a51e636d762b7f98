"""The tools around archives, in small: composed calls, kills, the comparison of two devices."""

import json

import pytest

from tools.benchmark import archive, composed, gpu, kills
from tools.benchmark.__main__ import COMMANDS
from tools.command_line import dispatch


def test_composes_the_same_calls_for_the_same_seed(tmp_path):
    lengths = [0.5, 1.0, 1.5, 2.0]
    first, again, other = (
        [path.read_bytes() for path in composed.compose(tmp_path / name, lengths, seed=seed)]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first != other


def test_composed_calls_have_all_lengths(tmp_path):
    lengths = composed.durations(200, 10, 1800)
    assert lengths == sorted(lengths)
    assert lengths[0] == pytest.approx(10, rel=0.01)
    assert lengths[-1] > 1500
    options = ["compose", "--out", str(tmp_path / "calls"), "--calls", "3", "--longest", "12"]
    assert dispatch("benchmark", "", COMMANDS, options) == 0
    assert len([*(tmp_path / "calls").iterdir()]) == 3


def test_a_killed_archive_ends_with_one_whole_file_for_each_call(random_bundle, tmp_path):
    pytest.importorskip("pyarrow")
    composed.compose(tmp_path / "calls", [4.0] * 6)
    options = ["--jobs", "2", "--set", f"emotion.bundle={random_bundle}"]
    result = kills.measure(tmp_path, options, kills=2, seed=1)
    assert sum(result.kills.values()) == 2
    assert result.kills["driver killed"]
    assert result.good, result


def test_kills_notices_what_is_wrong():
    assert not kills.Result(3, {}, 1, missing=["a.jsonl"], tabled=3).good
    assert not kills.Result(3, {}, 1, tabled=3, rows=5, rows_expected=4).good
    assert kills.Result(3, {}, 1, tabled=3, rows=4, rows_expected=4).good


def test_a_device_is_compared_with_the_processor(tmp_path):
    """Here with the processor itself, with several calls at the same time."""
    data = tmp_path / "calls"
    composed.compose(data, [3.0, 4.0, 5.0])
    file = tmp_path / "gpu.json"
    options = ["gpu", "--device", "cpu", "--data", str(data), "--jobs", "3", "--json", str(file)]
    assert dispatch("benchmark", "", COMMANDS, options) == 0
    result = json.loads(file.read_text())["result"]
    assert result["calls"] == 3
    assert result["utterances"] >= 3
    assert result["equal"] == 1.0


def test_utterances_of_one_side_count_as_different():
    from types import SimpleNamespace

    def labels(**emotions):
        made = gpu.Labels()
        for name, emotion in emotions.items():
            made.found["call", name] = SimpleNamespace(emotion=emotion, probabilities={"sad": 0.5})
        return made

    result = gpu.compare(labels(a="sad", b="sad"), labels(b="sad", c="sad"), "cuda", 1, (1.0, 1.0))
    assert result.equal == pytest.approx(1 / 3)


def test_the_engines_of_archives_are_measured(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(archive, "_cases", lambda *_: [archive.Case("local", 1, 1, 1, "local")])
    file = tmp_path / "archive.json"
    options = ["archive", "--engine", "local", "--hours", "0.001", "--rounds", "1"]
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert dispatch("benchmark", "", COMMANDS, [*options, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    (result,) = figures["results"]
    assert 0 < result["hours_per_hour"] < result["loaded_hours_per_hour"]
    assert result["cpu_ms"] > 0
    assert figures["call_ms"].keys() == {"local"}
