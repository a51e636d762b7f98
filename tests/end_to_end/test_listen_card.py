"""`streamer listen` on a virtual sound card: what it hears, and what it survives."""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.audio_files import write_audio
from tests.conftest import REPOSITORY
from tests.end_to_end.conversations import check_promises
from tests.end_to_end.listening import LATE, Listening
from tests.virtual_card import virtual_card


@pytest.fixture(scope="module")
def card():
    with (
        tempfile.TemporaryDirectory(prefix="card") as directory,
        virtual_card(Path(directory)) as it,
    ):
        yield it


@pytest.fixture
def card_of_two():
    """Apart from the other: where a microphone remains, the sound server moves the clients of one that went."""
    with (
        tempfile.TemporaryDirectory(prefix="card") as directory,
        virtual_card(Path(directory), ("ann", "bob")) as it,
    ):
        yield it


@pytest.fixture(scope="module")
def settings(random_bundle):
    return {
        "STREAMER_EMOTION_BUNDLE": str(random_bundle),
        "STREAMER_ASR_BACKEND": "none",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def environment(card, settings):
    return card.environment | settings


CALL = REPOSITORY / "streamer" / "samples" / "call.ogg"


def beginning(recording, seconds, target, channel=0):
    """The first seconds of a recording's channel between silences, as a file that any player plays."""
    signal_, rate = soundfile.read(recording, always_2d=True)
    heard = signal_[: rate * seconds, channel].astype(np.float32)
    return write_audio(target, np.pad(heard, rate), rate)


@pytest.fixture(scope="module")
def turns(tmp_path_factory):
    """Three turns of one speaker with silence between."""
    return beginning(CALL, 18, tmp_path_factory.mktemp("turns") / "turns.wav")


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


def listened(card, environment, recording, count, *arguments):
    """What is said when so many utterances of a recording have been heard."""
    with Listening(environment, *arguments) as listening:
        listening.until(begun)
        with card.playing(recording):
            for _ in range(count):
                listening.until(said)
        took, code = listening.end()
    check_promises(listening.events)
    assert code == 130
    assert took < 5
    assert listening.events[-1].reason == "interrupted"
    return [e for e in listening.events if said(e)]


def differences(heard, expected):
    """How much later each boundary is, apart from when the playing began; seconds.

    Where the frames of 30 ms begin in what is played is chance.
    """
    later = [
        (ours.start - theirs.start, ours.end - theirs.end)
        for ours, theirs in zip(heard, expected, strict=True)
    ]
    return np.array(later) - np.median(later)


def test_what_is_heard_is_what_a_replay_of_its_recording_hears(card, environment, turns, tmp_path):
    kept = tmp_path / "kept.flac"
    heard = listened(card, environment, turns, 3, "--record", kept)
    again = [e for e in replayed(environment, kept) if said(e)]

    def judged(events):
        return [(e.start, e.end, e.emotion, e.probabilities, e.turn) for e in events]

    assert judged(heard) == judged(again)
    assert all(e.latency_ms.total >= e.latency_ms.endpoint >= 200 for e in heard)


def test_it_hears_the_utterances_that_a_replay_of_what_is_played_hears(
    card, environment, shared_data, tmp_path
):
    recording = shared_data / "calls" / "conv_azure_katiesteve.ogg"
    played = beginning(recording, 15, tmp_path / "played.wav")
    expected = [e for e in replayed(environment, played) if said(e)]
    assert len(expected) >= 3
    heard = listened(card, environment, played, len(expected))
    assert np.abs(differences(heard, expected)).max() < 0.061


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


def suspended(card, on):
    card.suspend(suspended=on)


def frozen(card, on):
    card.freeze(frozen=on)


@pytest.mark.parametrize("silence", [suspended, frozen])
def test_silence_of_a_device_is_told_while_it_lasts(card, environment, turns, silence):
    with Listening(environment) as listening:
        listening.until(begun)
        with card.playing(turns):
            listening.until(lambda e: e.type == "speech_started")
            silence(card, True)
            try:
                gap = listening.until(lambda e: e.type == "gap")
                time.sleep(7)  # meanwhile it is opened again, and still is silent
            finally:
                silence(card, False)
            back = listening.until(lambda e: e.type == "gap")
        with card.playing(turns):
            listening.until(said)
        listening.end()
    check_promises(listening.events)
    assert gap.end == back.start
    assert back.end - gap.start > 7
    assert next(e for e in listening.events if said(e)).end <= gap.start + 0.001
    assert [e for e in listening.events if e.type == "gap"] == [gap, back]


def test_a_sound_server_that_does_not_answer_cannot_keep_it_from_ending(card, environment):
    with Listening(environment) as listening:
        listening.until(begun)
        card.freeze(frozen=True)
        try:
            listening.until(lambda e: e.type == "gap")
            took, code = listening.end()
        finally:
            card.freeze(frozen=False)
    check_promises(listening.events)
    assert code == 130
    assert took < 5


def test_a_process_that_was_stopped_says_so(environment):
    with Listening(environment) as listening:
        listening.until(begun)
        began = listening.arrived[-1]
        time.sleep(1)
        stopped = time.monotonic()
        listening.send(signal.SIGSTOP)
        time.sleep(5)
        listening.send(signal.SIGCONT)
        lost = time.monotonic() - stopped
        gap = listening.until(lambda e: e.type == "gap")
        time.sleep(2)
        took, _ = listening.end()
        lasted = time.monotonic() - took - began
    check_promises(listening.events)
    assert [e for e in listening.events if e.type == "gap"] == [gap]
    assert gap.reason == "interrupted"
    assert gap.start == pytest.approx(stopped - began, abs=0.5)
    assert lost - 0.2 < gap.end - gap.start < lost + 2  # the device is opened again meanwhile
    assert listening.events[-1].duration == pytest.approx(lasted, abs=0.5)


def test_two_microphones_are_two_speakers_of_one_conversation(card_of_two, settings, tmp_path):
    ann = beginning(CALL, 11, tmp_path / "ann.wav", 0)
    bob = beginning(CALL, 11, tmp_path / "bob.wav", 1)
    with Listening(
        card_of_two.environment | settings, "--device", "ann", "--device", "bob"
    ) as listening:
        listening.until(begun)
        with card_of_two.playing(ann, "ann"), card_of_two.playing(bob, "bob"):
            for _ in range(3):
                listening.until(said)
        listening.end()
        heard = listening.events
    check_promises(heard)
    assert heard[0].channels == ["ann", "bob"]
    assert [(e.turn, e.channel) for e in heard if said(e)][:3] == [
        (0, "ann"),
        (1, "bob"),
        (2, "ann"),
    ]
    assert not [e for e in heard if e.type == "gap"]
