"""All benchmarks in one go."""

import json

from tools.benchmark import everything
from tools.benchmark.__main__ import COMMANDS, with_command
from tools.command_line import dispatch

MACHINE = {"cores": 2, "load": 0.5}
FIGURES = {
    "analysis": {
        "machine": MACHINE,
        "channels": 2,
        "stages": [{"name": "decoding", "cpu_ms": 1.0}, {"name": "text", "cpu_ms": 2.0}],
        "whole": [
            {"name": "pipeline, audio only", "cpu_ms": 3.5},
            {"name": "pipeline, words known", "cpu_ms": 4.5},
        ],
    },
    "capacity": {
        "machine": MACHINE,
        "cores": 1,
        "bound_ms": 200,
        "streams": {"none": 24, "known": 16},
        "steps": [
            {"asr": "known", "streams": 16, "p50_ms": 5.0, "p95_ms": 20.0, "losses": 0},
            {"asr": "known", "streams": 32, "p50_ms": 50.0, "p95_ms": 600.0, "losses": 0},
            {"asr": "known", "streams": 64, "p50_ms": 70.0, "p95_ms": 90.0, "losses": 3},
        ],
    },
    "soak": {
        "machine": MACHINE,
        "points": [{"utterances": 100, "memory_mb": 400.0, "cpu_ms": 9.0}],
        "memory_mb": {"value": 0.1, "margin": 0.2},
        "cpu_ms": {"value": -0.1, "margin": 0.2},
    },
    "archive": {
        "machine": MACHINE,
        "results": [
            {
                "name": "1 job, 1 core",
                "hours_per_hour": 80.0,
                "loaded_hours_per_hour": 100.0,
            },
            {
                "name": "2 jobs, 2 cores",
                "hours_per_hour": 130.0,
                "loaded_hours_per_hour": 190.0,
            },
        ],
    },
}


def test_without_a_command_all_is_measured():
    assert with_command([]) == ["all"]
    assert with_command(["--json", "x"]) == ["all", "--json", "x"]
    assert with_command(["soak", "--points", "9"]) == ["soak", "--points", "9"]
    assert with_command(["--help"]) == ["--help"]


def test_one_table_and_one_file_for_all(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(everything.SHORT, "startup", ["--rounds", "1", "--asr", "none"])
    file = tmp_path / "all.json"
    options = ["--only", "startup", "--json", str(file)]
    assert dispatch("benchmark", "", COMMANDS, ["all", *options]) == 0
    assert "All in short" in capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert figures["missing"] == []
    seconds = {r["name"]: r["wall_s"] for r in figures["results"]["startup"]["results"]}
    assert seconds["ready, transcriber none"] > seconds["streamer --help"] > 0


def test_the_table_tells_what_was_and_what_was_not_measured(capsys):
    everything._print(FIGURES, ["analysis", "capacity", "soak", "archive", "startup"])
    rows = {
        cells[1].strip(): cells[2].strip()
        for line in capsys.readouterr().out.splitlines()
        if len(cells := line.split("│")) > 3
    }
    assert rows["pipeline, words known, CPU ms / s"] == "4.5 (2.2 a channel)"
    assert rows["live calls at once, p95 <= 200 ms"] == "24"
    assert rows["the same with words known"] == "16"
    assert rows["archive on 1 core, hours / hour"] == "100.0"
    assert rows["the same, loading counted"] == "80.0"
    assert rows["archive, all cores / one"] == "1.90"
    assert rows["memory, MB / 10,000 utterances"] == "+0.10 ± 0.20"
    assert rows["streamer --help, s"] == "not measured"
