"""Composed dialogues as recordings: each voice in its own channel, the turns as the evaluation reads them."""

import numpy as np

from tools.data.composed_calls import channels, write
from tools.data.decoding import decode_channels
from tools.data.mono_dialogues import ComposedTurn, MonoDialogue
from tools.evaluate.recordings import find_recordings

RATE = 16_000


def dialogue():
    time = np.arange(4 * RATE) / RATE
    turns = tuple(
        ComposedTurn(start, end, name, emotion, ((start, end),))
        for start, end, name, emotion in ((0.5, 1.5, "ann", "happy"), (2.0, 3.5, "bob", "sad"))
    )
    samples = (0.3 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)
    return MonoDialogue("call", samples, turns)


def test_each_voice_has_its_own_channel():
    ann, bob = channels(dialogue())
    for mine, other, middle in ((ann, bob, 1.0), (bob, ann, 2.75)):
        here = slice(int((middle - 0.2) * RATE), int((middle + 0.2) * RATE))
        assert np.abs(mine[here]).max() > 0.25
        assert np.abs(other[here]).max() < 0.01


def test_the_evaluation_reads_what_is_written(tmp_path):
    write(dialogue(), tmp_path)
    ((file, turns),) = find_recordings(tmp_path)
    assert decode_channels(file).shape == (2, 4 * RATE)
    assert [(turn.speaker, turn.emotion4) for turn in turns] == [("ann", "happy"), ("bob", "sad")]
    assert turns[1].end == 3.5
