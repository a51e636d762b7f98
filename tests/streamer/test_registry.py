"""Extension points: what comes with streamer, and what other packages register by entry point."""

import subprocess
import sys

import pytest

from streamer.errors import UserError
from streamer.registry import DETECTORS, SINKS, SOURCES, TRANSCRIBERS, Plugin
from streamer.settings.tree import Segmentation, Settings
from streamer.speech.registry import make_detector
from tests.packages import install

REGISTRIES = (SOURCES, SINKS, DETECTORS, TRANSCRIBERS)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_finds_every_extension_that_comes_with_streamer(registry):
    for name in registry.own:
        assert callable(getattr(registry.find(name), "make", registry.find(name)))


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.kind)
def test_names_the_choices_when_there_is_no_such_extension(registry):
    with pytest.raises(
        UserError, match=f"no {registry.kind} 'none-such'.*{next(iter(registry.own))}"
    ):
        registry.find("none-such")


def test_finds_the_detector_of_another_package(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        "class Always:\n"
        "    delay = 0\n"
        "    def __init__(self, probability=1.0): self.probability = probability\n"
        "    def __call__(self, frames): return [self.probability] * len(frames)\n"
        "    def reset(self): pass\n",
        {"streamer.detectors": {"always": "Always"}},
    )
    assert DETECTORS.names()[-1] == "always"
    settings = Segmentation(detector="always", detector_options={"probability": 0.7})
    assert make_detector(settings)([0, 0]) == [0.7, 0.7]


def test_refuses_options_that_a_detector_does_not_have():
    with pytest.raises(UserError, match=r"segmentation.detector_options: webrtcvad: .*7"):
        make_detector(Segmentation(detector="webrtcvad", detector_options={"aggressiveness": 7}))
    with pytest.raises(UserError, match=r"segmentation.detector_options: silero: .*keenness"):
        make_detector(Segmentation(detector="silero", detector_options={"keenness": 1}))


def test_settings_refuse_a_name_that_nobody_registered():
    with pytest.raises(ValueError, match="no such voice detector; there are gated, silero"):
        Settings.model_validate({"segmentation": {"detector": "none-such"}})
    with pytest.raises(ValueError, match="no such transcriber"):
        Settings.model_validate({"asr": {"backend": "none-such"}})


def test_a_package_that_cannot_be_loaded_is_left_out_with_a_warning(tmp_path, monkeypatch, caplog):
    install(
        tmp_path, monkeypatch, "import no_such_module", {"streamer.sinks": {"broken": "PLUGIN"}}
    )
    assert [name for name, _ in SINKS.items()] == [*SINKS.own]
    assert "sink broken" in caplog.text
    assert "no_such_module" in caplog.text
    with pytest.raises(UserError, match=r"sink broken .*no_such_module"):
        SINKS.find("broken")


def test_does_not_let_another_package_replace_what_comes_with_streamer(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, "PLUGIN = None", {"streamer.sinks": {"jsonl": "PLUGIN"}})
    assert isinstance(SINKS.find("jsonl"), Plugin)


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    monkeypatch.setitem(SOURCES.own, "radio", "soxr:PLUGIN")
    with pytest.raises(
        UserError, match=r"source radio: needs soxr: pip install 'streamer-emotion\[analyze\]'"
    ):
        SOURCES.find("radio")


def test_leaves_out_in_silence_what_needs_an_extra(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "soxr", None)
    monkeypatch.setitem(SOURCES.own, "radio", "soxr:PLUGIN")
    assert "radio" not in dict(SOURCES.items())
    assert not caplog.records


def test_the_options_of_another_package_are_on_the_command_line(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        "from streamer.registry import Option, Plugin\n"
        "PLUGIN = Plugin(lambda **_: None, (Option('--lamp', metavar='COLOUR', help='light a lamp'),))\n",
        {"streamer.sinks": {"lamp": "PLUGIN"}},
    )
    shown = subprocess.run(
        [sys.executable, "-m", "streamer.cli", "replay", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--lamp COLOUR" in shown.stdout
    assert "light a lamp" in shown.stdout
