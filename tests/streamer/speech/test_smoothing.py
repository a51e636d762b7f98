import numpy as np
import pytest

from streamer.audio import FRAME
from streamer.settings.tree import Segmentation
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed
from tests.streamer.speech.speech import PeakDetector, audio, listen, names, utterances


def segmenter():
    return Segmenter(Smoothed(PeakDetector()), Segmentation(), 0)


def frames(*peaks):
    return np.repeat(np.array(peaks, np.float32)[:, None], FRAME, axis=1)


def test_averages_a_frame_with_two_before_and_two_after_it():
    smoothed = Smoothed(PeakDetector())
    means = smoothed(frames(0, 0, 0.5, 1, 0.25, 0, 0))
    assert means == pytest.approx([0, 0, 0.1, 0.3, 0.35, 0.35, 0.35])


def test_nothing_is_said_of_what_lies_before_the_first_frame():
    smoothed = Smoothed(PeakDetector())
    assert smoothed(frames(1, 1, 1))[: smoothed.delay] == [0, 0]
    smoothed.reset()
    assert smoothed(frames(1)) == [0]


def test_speech_begins_and_ends_where_it_does_without():
    samples = audio((0.9, 0.0), (1.2, 0.9), (0.9, 0.0))
    alone = listen(Segmenter(PeakDetector(), Segmentation(), 0), samples)
    smoothed = listen(segmenter(), samples)
    assert names(smoothed) == names(alone) == ["Started", "Paused", "Ended"]
    assert smoothed[0].start == alone[0].start
    assert smoothed[0].at == alone[0].at + 2 * FRAME
    for event in (1, 2):
        assert smoothed[event].at == alone[event].at
        assert smoothed[event].end == alone[event].end
    assert smoothed[2].voice_end == alone[2].voice_end


def test_one_frame_does_not_carry_an_utterance_on():
    samples = audio((0.9, 0.9), (0.3, 0.0), (0.03, 0.9), (0.9, 0.0))
    (ended,) = utterances(listen(segmenter(), samples))
    assert ended.voice_end == 30 * FRAME


def test_one_frame_does_not_hold_an_utterance_up():
    samples = audio((0.9, 0.9), (0.03, 0.3), (0.9, 0.9), (0.9, 0.0))
    assert names(listen(segmenter(), samples)) == ["Started", "Paused", "Ended"]


@pytest.mark.parametrize("extra", [0, 1, 479])
def test_speech_reaches_the_end_of_the_audio(extra):
    samples = audio((0.9, 0.0), ((60 * FRAME + extra) / 16_000, 0.9))
    (ended,) = utterances(listen(segmenter(), samples))
    assert ended.end == len(samples)
    assert len(samples) - ended.voice_end <= FRAME


def test_speech_at_the_very_end_is_confirmed():
    samples = audio((0.9, 0.0), (0.18, 0.9))
    assert names(listen(segmenter(), samples)) == ["Started", "Ended"]
