"""The simulation of clusters agrees with what can be worked out by hand."""

import json

import numpy as np
import pytest

from tools.benchmark.__main__ import COMMANDS
from tools.benchmark.scale import Calls, Costs, draw, simulate
from tools.command_line import dispatch

FREE = Costs(driver=0.0, latency=0.0, loading=0.0, storage=1e18, network=1e18)


def equal(count, seconds=60.0, cpu=1.0):
    return Calls(np.full(count, seconds), np.full(count, cpu))


def test_one_core_takes_the_sum_of_all_costs():
    found = simulate(equal(10), 1, 1, FREE)
    assert found.hours * 3600 == pytest.approx(10)
    assert found.hours_per_hour == pytest.approx(60)
    assert found.bottleneck == "cores"


@pytest.mark.parametrize(("nodes", "cores"), [(1, 2), (2, 1), (5, 4)])
def test_cores_that_are_free_share_equal_calls(nodes, cores):
    found = simulate(equal(200), nodes, cores, FREE)
    assert found.hours * 3600 == pytest.approx(200 / (nodes * cores))


def test_a_slow_driver_limits_any_cluster():
    costs = Costs(driver=0.1, latency=0.0, loading=0.0, storage=1e18, network=1e18)
    found = simulate(equal(2000), 100, 16, costs)
    assert found.hours * 3600 == pytest.approx(200, rel=0.02)
    assert found.bottleneck == "driver"


def test_a_narrow_storage_limits_any_cluster():
    costs = Costs(driver=0.0, loading=0.0, bytes_per_second=1e4, storage=1e6, network=1e18)
    found = simulate(equal(2000), 100, 16, costs)
    assert found.hours * 3600 == pytest.approx(2000 * 60 * 1e4 / 1e6, rel=0.02)
    assert found.bottleneck == "storage"


def test_the_longest_call_first_holds_nobody_up():
    """Three hours beside a thousand minutes: the end is no later than the larger of the two."""
    calls = Calls(np.asarray([60.0] * 1000 + [10_800.0]), np.asarray([1.0] * 1000 + [180.0]))
    assert simulate(calls.longest_first(), 1, 4, FREE).hours * 3600 <= 1180 / 4 + 1
    assert simulate(calls, 1, 4, FREE).hours * 3600 > 400


def test_draws_lengths_and_costs_with_their_spread():
    measured = Calls(np.asarray([100.0, 100.0, 100.0]), np.asarray([1.0, 2.0, 3.0]))
    drawn = draw(measured, 20_000, 300.0)
    assert drawn.seconds.mean() == pytest.approx(300, rel=0.05)
    assert set(np.round(drawn.cpu / drawn.seconds, 6)) == {0.01, 0.02, 0.03}


def test_prints_and_writes_the_figures(tmp_path, capsys):
    file = tmp_path / "scale.json"
    options = ["scale", "--calls", "2000", "--nodes", "1", "10", "--json", str(file)]
    assert dispatch("benchmark", "", COMMANDS, options) == 0
    assert "hours in an hour" in capsys.readouterr().out
    results = json.loads(file.read_text())["results"]
    assert [each["nodes"] for each in results] == [1, 10]
    assert results[1]["hours_per_hour"] > results[0]["hours_per_hour"]


def test_a_ledger_that_is_not_there_is_a_mistake(tmp_path, capsys):
    assert dispatch("benchmark", "", COMMANDS, ["scale", "--ledger", str(tmp_path)]) == 2
    assert "ledger.sqlite" in capsys.readouterr().err
