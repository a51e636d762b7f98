"""The figures of a call: the same from the run, its stored events and its report; alerts on the wire."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from streamer import cli, events
from streamer.audio import AudioChunk
from streamer.clock import WallClock
from streamer.control import Control
from streamer.sinks.report.page import report
from streamer.sources import SourceInfo
from streamer.views import view
from tests.audio_files import write_audio
from tests.end_to_end.conversations import engine_for, silence, two_speakers, voice

RULES = """
alerts:
  rules:
    - {name: quiet, when: silence, seconds: 2}
    - {name: both, when: overlap, seconds: 0.5, cooldown: 0}
"""


def replay(environment, tmp_path, recording, *arguments):
    """The events of a replay; its report is at `page.html`."""
    (tmp_path / "rules.yaml").write_text(RULES)
    command = [sys.executable, "-m", "streamer.cli", "replay", recording, "--jsonl", "-"]
    command += ["--config", tmp_path / "rules.yaml", "--report", tmp_path / "page.html"]
    command += ["--channels", "agent,customer", "--set", "asr.backend=none", *arguments]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, timeout=200, env=environment, check=True
    )
    assert done.stderr == b""
    return [events.parse(line) for line in done.stdout.splitlines()]


@pytest.fixture
def recording(tmp_path):
    """A stereo call: they take turns, once speak at the same time, then nobody speaks for 4 s."""
    spoken = two_speakers()
    quiet = np.zeros((4 * 16_000, 2), np.float32)
    return write_audio(tmp_path / "call.wav", np.concatenate([spoken, quiet]), 16_000)


def test_a_run_its_stored_events_and_its_report_have_the_same_figures(
    environment, tmp_path, recording
):
    stream = replay(environment, tmp_path, recording, "--speed", "max")
    summary, ended = stream[-2:]
    assert isinstance(summary, events.Summary)
    assert isinstance(ended, events.SessionEnded)
    figures = view(stream).figures()
    assert {name: getattr(summary, name) for name in type(figures).model_fields} == dict(figures)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report(stream)
    paced = replay(environment, tmp_path, recording, "--speed", "4")
    assert view(paced).figures() == figures


def test_figures_are_those_of_the_call_as_it_was_composed(environment, tmp_path, recording):
    figures = view(replay(environment, tmp_path, recording, "--speed", "max")).figures()
    assert figures.duration == pytest.approx(13.5, abs=1.0)
    # 1.6 + 2.2 and 1.3 + 1.9 s of voice; an utterance is up to 0.4 s longer, less of its last syllable
    assert figures.talk["agent"].seconds == pytest.approx(3.8, abs=0.8)
    assert figures.talk["customer"].seconds == pytest.approx(3.2, abs=0.8)
    assert figures.talk["agent"].turns == 2
    assert figures.talk["customer"].interruptions.count == 1
    assert figures.overlap.count == 1
    assert figures.non_talk.longest > 3.5


def test_utterances_say_how_they_sound_and_overlap(environment, tmp_path, recording):
    stream = replay(environment, tmp_path, recording, "--speed", "max")
    utterances = [event for event in stream if isinstance(event, events.Utterance)]
    for each in utterances:
        assert each.acoustics is not None
        assert each.acoustics.pitch_hz == pytest.approx(120, abs=35)
        assert -30 < each.acoustics.loudness_db < 0
    assert sum(each.overlap > 0 for each in utterances) == 2


def test_alerts_come_right_behind_what_raises_them(environment, tmp_path, recording):
    stream = replay(environment, tmp_path, recording, "--speed", "max")
    alerts = [(place, each) for place, each in enumerate(stream) if isinstance(each, events.Alert)]
    assert {alert.rule for _, alert in alerts} >= {"quiet"}
    quiet = [alert for _, alert in alerts if alert.rule == "quiet"][-1]
    assert quiet.active
    assert quiet.at == pytest.approx(quiet.since + 2, abs=1e-3)
    assert stream[-2].alerts == view(stream).figures().alerts
    assert [each.seq for each in stream] == list(range(len(stream)))


def test_a_channel_under_privacy_has_no_figures(environment, tmp_path, recording):
    stream = replay(
        environment,
        tmp_path,
        recording,
        "--speed",
        "max",
        "--set",
        "privacy.channels.agent=context",
    )
    summary = stream[-2]
    assert set(summary.talk) == {"customer"}
    assert all(each.overlap == 0 for each in stream if isinstance(each, events.Utterance))


def test_a_folder_of_calls_becomes_pages_and_an_index_in_one_command(environment, tmp_path, capsys):
    for name in ("one", "two"):
        stereo = np.stack([np.concatenate([silence(1), voice(2, len(name))])] * 2, axis=1)
        stereo[:, 1] = 0
        write_audio(tmp_path / f"{name}.wav", stereo, 16_000)
    command = [sys.executable, "-m", "streamer.cli", "replay", tmp_path / "one.wav"]
    command += [tmp_path / "two.wav", "--speed", "max", "--quiet", "--jobs", "2"]
    command += ["--set", "asr.backend=none", "--report", f"{tmp_path}/pages/"]
    subprocess.run([*map(str, command)], check=True, timeout=200, env=environment)
    index = (tmp_path / "pages/index.html").read_text()
    assert "2 reports" in index
    assert "one.wav" in index
    assert len(list((tmp_path / "pages").glob("*.html"))) == 3
    refused = ["replay", tmp_path / "one.wav", tmp_path / "two.wav", "--report", "page.html"]
    assert cli.main([str(each) for each in refused]) == 2
    assert "give it a folder" in capsys.readouterr().err


class Talk:
    """A live source: someone speaks, then nobody does until the conversation is stopped."""

    def __init__(self):
        self.info = SourceInfo("talk", ("speaker",), live=True, session="talk")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def __aiter__(self):
        samples = np.concatenate([silence(0.5), voice(1.0), silence(60.0)])
        for start in range(0, len(samples), 1600):
            yield AudioChunk(0, start, samples[start : start + 1600])
            await asyncio.sleep(0.02)


class Kept:
    """A sink that keeps the events, and calls a function for each."""

    def __init__(self, react):
        self.events, self._react = [], react

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def emit(self, event):
        self.events.append(event)
        self._react(event)


def test_live_silence_is_noticed_while_it_lasts_and_a_summary_comes_when_asked_for(random_bundle):
    control = Control()

    def react(event):
        match event:
            case events.Alert():
                control.summarize()
            case events.Summary():
                control.stop()

    rules = [{"name": "quiet", "when": "silence", "seconds": 2}]

    async def run():
        sink = Kept(react)
        with engine_for(random_bundle, alerts__rules=rules) as engine:
            await engine.run(Talk(), [sink], WallClock(), control=control)
        return sink.events

    stream = asyncio.run(run())
    kinds = [event.type for event in stream]
    assert kinds.index("alert") < kinds.index("summary") < kinds.index("session_ended")
    assert kinds.count("summary") == 2
    first, last = [event for event in stream if isinstance(event, events.Summary)]
    assert first.duration < 60
    assert last.duration >= first.duration
    assert last.alerts == {"quiet": 1}
