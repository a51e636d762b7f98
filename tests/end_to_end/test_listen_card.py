"""`streamer listen` on a virtual sound card: what it hears, and what it survives."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from tests.audio_files import write_audio
from tests.end_to_end.conversations import check_promises, silence, voice
from tests.end_to_end.listening import LATE, Listening
from tests.virtual_card import virtual_card


@pytest.fixture(scope="module")
def card():
    with (
        tempfile.TemporaryDirectory(prefix="card") as directory,
        virtual_card(Path(directory)) as it,
    ):
        yield it


@pytest.fixture(scope="module")
def environment(card, random_bundle):
    return card.environment | {
        "STREAMER_EMOTION_BUNDLE": str(random_bundle),
        "STREAMER_ASR_BACKEND": "none",
        # made-up voices are a matter of taste to Silero
        "STREAMER_SEGMENTATION_DETECTOR": "webrtcvad",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def turns(tmp_path_factory):
    """Three turns of one speaker with silence between."""
    signal_ = np.concatenate(
        [
            *(silence(1.0), voice(1.5, 1), silence(1.2), voice(2.4, 2)),
            *(silence(1.2), voice(0.9, 3), silence(1.5)),
        ]
    )
    return write_audio(tmp_path_factory.mktemp("turns") / "turns.wav", signal_[:, None], 16_000)


def begun(event):
    return event.type == "session_started"


def said(event):
    return event.type == "utterance"


def replayed(environment, recording):
    from streamer import events

    command = [sys.executable, "-m", "streamer.cli", "replay", recording, "--speed", "max"]
    done = subprocess.run(
        [*command, "--jsonl", "-"], env=environment, capture_output=True, timeout=LATE, check=True
    )
    return [events.parse(line) for line in done.stdout.splitlines()]


def test_it_hears_the_utterances_that_a_replay_hears(card, environment, turns):
    expected = [e for e in replayed(environment, turns) if said(e)]
    with Listening(environment) as listening:
        listening.until(begun)
        with card.playing(turns):
            for _ in expected:
                listening.until(said)
        took, code = listening.end()
        heard = listening.events
    check_promises(heard)
    assert code == 130
    assert took < 5
    assert heard[-1].reason == "interrupted"
    utterances = [e for e in heard if said(e)]
    assert len(utterances) == len(expected) == 3
    pairs = list(zip(utterances, expected, strict=True))
    offset = np.median([ours.start - theirs.start for ours, theirs in pairs])
    for ours, theirs in pairs:
        assert ours.start - offset == pytest.approx(theirs.start, abs=0.061)
        assert ours.end - offset == pytest.approx(theirs.end, abs=0.061)
        assert ours.emotion == theirs.emotion
        assert ours.latency_ms.total >= ours.latency_ms.endpoint >= 500


def test_a_card_that_goes_and_comes_is_a_gap_in_one_conversation(card, environment, turns):
    with Listening(environment) as listening:
        listening.until(begun)
        with card.playing(turns):
            listening.until(lambda e: e.type == "speech_started")
            card.unplug()
        gap = listening.until(lambda e: e.type == "gap")
        time.sleep(2)
        card.plug()
        back = listening.until(lambda e: e.type == "gap")
        with card.playing(turns):
            for _ in range(3):
                listening.until(said)
        listening.end(signal.SIGTERM)
        heard = listening.events
    check_promises(heard)
    assert gap.end == back.start
    assert back.end - gap.start > 2
    utterances = [e for e in heard if said(e)]
    assert utterances[0].end <= gap.start + 0.001
    assert [e.turn for e in utterances] == list(range(len(utterances)))
    assert heard[-1].reason == "terminated"
    assert heard[-1].duration > back.end


def test_a_process_that_was_stopped_says_so(environment):
    with Listening(environment) as listening:
        listening.until(begun)
        time.sleep(1)
        listening.send(signal.SIGSTOP)
        time.sleep(5)
        listening.send(signal.SIGCONT)
        first = listening.until(lambda e: e.type == "gap")
        time.sleep(3)
        listening.end()
        gaps = [e for e in listening.events if e.type == "gap"]
    check_promises(listening.events)
    assert first.reason == "interrupted"
    lost = sum(e.end - e.start for e in gaps)
    assert 4.5 < lost < 15  # opening the device again takes its time, too
