"""The examples of docs/extending.md, each installed as a package of its own."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import torch

import streamer
from streamer.registry import DETECTORS, SINKS, SOURCES, TRANSCRIBERS
from streamer.settings.tree import Asr, Segmentation
from streamer.speech.registry import make_detector
from streamer.transcription.registry import make_transcriber
from streamer_models import registry as encoders
from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tests.audio_files import write_audio
from tests.conftest import REPOSITORY
from tests.end_to_end.conversations import check_promises, engine_for, two_speakers
from tests.packages import install
from tests.tools.small_world import world
from tools.command_line import dispatch
from tools.train import COMMANDS

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()


@pytest.fixture
def example(tmp_path, monkeypatch):
    """Installs the example under a heading of the page."""

    def install_it(heading):
        section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        code, announced = (
            re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "toml")
        )
        points = tomllib.loads(announced)["project"]["entry-points"]
        install(
            tmp_path,
            monkeypatch,
            code,
            {
                group: {name: place.partition(":")[2] for name, place in names.items()}
                for group, names in points.items()
            },
        )

    return install_it


def test_a_sink_has_its_option_on_the_command_line(example, tmp_path, random_bundle, monkeypatch):
    example("A sink")
    assert SINKS.names()[-1] == "tally"
    call = write_audio(tmp_path / "call.wav", two_speakers(), 16_000)
    monkeypatch.setenv("STREAMER_EMOTION_BUNDLE", str(random_bundle))
    command = [sys.executable, "-m", "streamer.cli", "replay", str(call), "--speed", "max"]
    command += ["--set", "asr.backend=none", "--set", "emotion.threshold=0"]
    done = subprocess.run(
        [*command, "--tally", str(tmp_path / "counts.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert sum(counts.values()) == 4


async def test_a_source_is_chosen_by_its_name(example, random_bundle):
    example("A source")
    assert "tone" in SOURCES
    with engine_for(random_bundle) as engine:
        heard = [
            event async for event in streamer.analyze("tone://440", engine=engine, tone_seconds=5)
        ]
    check_promises(heard)
    assert (heard[0].source, heard[0].channels) == ("440 Hz", ["tone"])
    assert heard[-1].duration == 5.0


def test_a_detector_is_a_choice_of_the_settings(example):
    example("A voice detector")
    assert "loudness" in DETECTORS
    options = {"threshold_db": -50}
    detector = make_detector(Segmentation(detector="loudness", detector_options=options))
    frames = np.stack([np.full(480, level, np.float32) for level in (0.0, 0.001, 0.01, 0.1)])
    assert detector(frames) == [0.0, 0.0, 1.0, 1.0]


def test_a_transcriber_is_a_choice_of_the_settings(example):
    example("A transcriber")
    assert "length" in TRANSCRIBERS
    transcriber, notice = make_transcriber(Asr(backend="length"), 1)
    transcript = transcriber.transcribe(np.zeros(32_000, np.float32), language="en")
    assert (transcript.text, notice) == ("2 seconds", "")


def test_doctor_checks_what_other_packages_add(example):
    example("A transcriber")
    command = [sys.executable, "-m", "streamer.cli", "doctor", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)
    (finding,) = [each for each in found if each["part"] == "transcriber length"]
    assert (finding["state"], finding["detail"]) == ("ok", "needs no model")


def test_an_encoder_runs_from_a_bundle(example, tmp_path):
    example("An encoder")
    level = encoders.AUDIO_ENCODERS.find("level")
    config = Dutta2022Config(audio=level.config_class(), text=None, window=4)
    model = Dutta2022(config).eval()
    Bundle("other", "1", model, Calibration(), 0.3, None, "A card.").save(tmp_path / "b")
    stream = Bundle.load(tmp_path / "b").audio_streams()()
    stream.push(np.full(8000, 0.1, np.float32))
    torch.testing.assert_close(stream.embedding(), torch.full((100,), 0.01 + 1e-4).log())


def test_a_system_passes_the_tests_of_all(example):
    """Longer than other tests: pytest is started, as the page says, and its imports take seconds."""
    example("A system")
    command = [sys.executable, "-m", "pytest", "tests/models/zoo/test_all.py", "-k", "mynet2026"]
    command += ["-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    tested = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert "8 passed" in tested.stdout


async def test_a_system_trains_and_runs(example, tmp_path, capsys):
    example("A system")
    data, bundle = world(tmp_path / "world"), tmp_path / "b"
    given = ["--data", str(data), "--out", str(bundle), "--cache", str(tmp_path / "cache")]
    given += ["--features", "mel", "--clips", "8", "--texts", "8", "--epochs", "1"]
    assert dispatch("train", "", COMMANDS, ["zoo", "mynet2026", *given]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["name"] == "mynet2026"
    assert row["speech"]["n"] == 8
    call = write_audio(tmp_path / "call.wav", two_speakers(), 16_000)
    settings = streamer.load_settings(
        environment={}, overrides={"emotion.bundle": str(bundle), "asr.backend": "none"}
    )
    heard = [event async for event in streamer.analyze(call, settings=settings)]
    check_promises(heard)
    assert sum(event.type == "utterance" for event in heard) == 4
