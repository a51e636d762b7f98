"""`python -m tools.benchmark frontend` measures, prints and writes; what it measures is nobody's test."""

import json
import subprocess
import sys

from tools.benchmark.measuring import Case, alternate


def test_it_writes_what_it_measured(tmp_path):
    file = tmp_path / "costs.json"
    command = [sys.executable, "-m", "tools.benchmark", "frontend"]
    options = ["--seconds", "1.2", "--rounds", "2", "--json", file]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    assert "LEAF, direct" in done.stdout
    results = json.loads(file.read_text())
    names = {cost["name"] for cost in results["costs"]}
    assert {"LEAF", "LEAF, direct", "CNN"} <= names
    assert all(cost["cpu_ms"] > 0 and cost["rounds"] == 2 for cost in results["costs"])
    assert results["log_error"]["max"] < 0.05


def test_cases_take_turns():
    calls = []
    cases = [
        Case("a", lambda: calls.append("a"), prepare=lambda: calls.append("before a")),
        Case("b", lambda: calls.append("b")),
    ]
    costs = alternate(cases, rounds=2)
    assert calls == ["before a", "a", "b"] * 3
    assert [(cost.name, cost.rounds) for cost in costs] == [("a", 2), ("b", 2)]
