import json

import pytest

from tests.brokers import MOSQUITTO
from tools.benchmark.__main__ import COMMANDS
from tools.command_line import dispatch


@pytest.mark.skipif(MOSQUITTO is None, reason="the MQTT broker mosquitto is not installed")
def test_rates_and_latencies_are_printed_and_written(tmp_path, capsys):
    file = tmp_path / "mqtt.json"
    options = ["--events", "300", "--rounds", "2", "--single", "10", "--json", str(file)]
    assert dispatch("benchmark", "", COMMANDS, ["mqtt", *options]) == 0
    figures = json.loads(file.read_text())
    assert [burst["events"] for burst in figures["bursts"]] == [300, 300]
    assert figures["per_second"] > 0
    latency = figures["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["max"]
    assert "events / s" in capsys.readouterr().out
