"""How late final texts are, of a program that tells where a voice ended and of one that does not."""

import json

import numpy as np
import pytest

from streamer.settings.shipped import sample_call
from tools.benchmark.realtimestt import Final, _finals, ends_of_voice, latencies
from tools.data.decoding import decode


def test_a_text_is_as_late_as_it_comes_after_the_end_that_it_tells():
    assert latencies([Final("yes", 2.5, end=2.0)], [], 0.09) == pytest.approx([0.5])


def test_otherwise_it_belongs_to_the_last_end_with_enough_silence_before_it():
    finals = [Final("yes", 2.7), Final("no", 5.1)]
    assert latencies(finals, [2.0, 4.7], 0.6) == pytest.approx([0.7, 3.1])
    assert latencies([Final("early", 1.0)], [2.0], 0.6) == []


def test_only_final_texts_count():
    assert _finals(json.dumps({"text": "yes"}).encode(), 1.5) == [Final("yes", 1.5)]
    started = {"schema": "streamer/1", "session": "s", "seq": 1, "time": "2026-01-01T00:00:00Z"}
    started |= {"channel": "a", "start": 0.3, "end": 0.8, "type": "speech_started"}
    assert _finals(json.dumps(started | {"utterance": "s:a:1"}).encode(), 1.5) == []


def test_more_silence_leaves_fewer_ends():
    samples = decode(sample_call())[: 10 * 16_000]
    short, long = ends_of_voice(samples, 0.2), ends_of_voice(samples, 0.6)
    assert set(long) <= set(short)
    assert len(long) < len(short)
    assert ends_of_voice(np.zeros(16_000, np.float32), 0.6) == []
