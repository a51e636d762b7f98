"""Recordings through the real pipeline: turns find the utterances that overlap them."""

import argparse
import json
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile

from streamer.errors import UserError
from streamer.events import Latency, Utterance
from tests.end_to_end.conversations import two_speakers
from tests.tools.pages import assert_its_page_has_curves
from tools.evaluate import recordings
from tools.evaluate.recordings import SpokenTurn, compare, find_recordings, read_turns

LABELS = ("angry", "happy", "sad", "neutral")


def predicted(start, end, label, channel="mono", sure=0.7):
    rest = (1 - sure) / 3
    return Utterance(
        session="s",
        seq=0,
        time=datetime.now(UTC),
        channel=channel,
        start=start,
        end=end,
        utterance="u",
        turn=0,
        emotion=label,
        confidence=sure,
        probabilities={name: sure if name == label else rest for name in LABELS},
        abstained=False,
        text=None,
        text_status="skipped",
        modalities=["audio"],
        language=None,
        latency_ms=Latency(endpoint=0, transcription=0, analysis=0, total=0),
    )


def test_a_turn_is_what_most_of_it_was_called():
    turns = [SpokenTurn(0, 10, "ann", "sad")]
    heard = {"call.ogg": (turns, [predicted(0, 6, "sad"), predicted(6, 10, "happy")])}
    judgements, groups = compare(LABELS, heard)
    assert LABELS[judgements.predicted[0]] == "sad"
    assert judgements.probabilities[0] == pytest.approx([0.1, 0.34, 0.46, 0.1])
    assert groups == {"recording": ["call.ogg"], "speaker": ["ann"]}


def test_a_speaker_is_heard_on_the_channel_of_that_speaker():
    turns = [SpokenTurn(0, 4, "ann", "sad"), SpokenTurn(3, 8, "bob", "happy")]
    both = [predicted(0, 4, "sad", "left"), predicted(3, 8, "happy", "right")]
    judgements, _ = compare(LABELS, {"call.ogg": (turns, both)})
    assert [LABELS[i] for i in judgements.predicted] == ["sad", "happy"]
    assert judgements.probabilities.max(axis=1) == pytest.approx([0.7, 0.7])


def test_turns_that_nothing_was_said_of_are_not_judged():
    turns = [
        SpokenTurn(0, 1, "ann", "sad"),
        SpokenTurn(5, 6, "ann", "happy"),
        SpokenTurn(0, 1, "ann", ""),
    ]
    judgements, _ = compare(LABELS, {"call.ogg": (turns, [predicted(0, 1, "sad")])})
    assert len(judgements.truth) == 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("start_s,speaker,emotion4\n0,ann,sad\n", "column 'duration_s' is missing"),
        ("start_s,duration_s,speaker,emotion4\nnow,1,ann,sad\n", "line 2"),
    ],
)
def test_wrong_turns_are_one_clear_line(tmp_path, content, complaint):
    path = tmp_path / "call.turns.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_turns(path)


def test_a_folder_without_recordings_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"no FILE\.turns\.csv"):
        find_recordings(tmp_path)
    (tmp_path / "call.turns.csv").write_text("start_s,duration_s,speaker,emotion4\n")
    with pytest.raises(UserError, match=r"call\.ogg is not beside it"):
        find_recordings(tmp_path)


def test_the_command_runs_the_pipeline(random_bundle, tmp_path):
    signal = np.concatenate([two_speakers(), two_speakers(5)])
    soundfile.write(tmp_path / "call.ogg", signal, 16_000, format="OGG", subtype="VORBIS")
    (tmp_path / "call.turns.csv").write_text(
        "start_s,duration_s,speaker,emotion4,extra\n"
        "0.7,1.6,ann,sad,x\n3.2,1.3,bob,happy,x\n5.3,2.2,ann,neutral,x\n"
    )
    parser = argparse.ArgumentParser()
    recordings.add_arguments(parser)
    out = tmp_path / "result.json"
    recordings.run(
        parser.parse_args(
            [
                *("--bundle", str(random_bundle), "--data", str(tmp_path)),
                *("--asr", "none", "--json", str(out)),
            ]
        )
    )
    result = json.loads(out.read_text())
    assert result["n"] == 3
    assert result["missed"] == 0
    assert result["transcribed"] == 0
    assert set(result["groups"]["speaker"]) == {"ann", "bob"}
    assert result["bundle"]["name"] == "random"
    assert_its_page_has_curves(out)
