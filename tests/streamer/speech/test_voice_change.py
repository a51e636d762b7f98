"""Speakers of one channel: an utterance ends where somebody else begins to speak, however the audio is cut."""

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import SAMPLE_RATE
from streamer.settings.tree import Segmentation, Speakers
from streamer.speech import SpeechEnded
from streamer.speech.registry import make_segmenter, make_voices
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed
from streamer.speech.speakers import SpeakerClusters, Thresholds
from streamer.speech.voice_change import Margins, VoiceTracker
from streamer_models.speaker_encoder import SIZE
from tests.streamer.speech.speech import PeakDetector, audio, check_lifecycle, listen, plain

SAMPLES = Path(__file__).resolve().parents[3] / "streamer" / "samples" / "call.ogg"
ANNA, BEN, CARLA = 0.6, 0.8, 0.9
"""Made-up speakers are known by their level."""


class LevelStream:
    """Takes the level for the voice."""

    def __init__(self):
        self._pushed = np.empty(0)

    def push(self, samples):
        self._pushed = np.concatenate([self._pushed, samples])

    def voice(self):
        if not len(self._pushed):
            return None
        voice = np.zeros(SIZE, np.float32)
        voice[round(10 * float(np.median(np.abs(self._pushed))))] = 1.0
        return voice


def segmenter(**options):
    thresholds = Thresholds(new=0.6, short_new=0.6, further=0.0, merge=0.9)
    margins = Margins(margin=0.1, short_margin=0.1, change=0.6, sure=0.9)
    voices = VoiceTracker(LevelStream, SpeakerClusters("mono", 8, thresholds), margins)
    return Segmenter(Smoothed(PeakDetector()), Segmentation(**options), 0, voices=voices)


def utterances(parts, **options):
    return [
        (event.speaker, event.start / SAMPLE_RATE, event.end / SAMPLE_RATE)
        for event in listen(segmenter(**options), audio(*parts))
        if isinstance(event, SpeechEnded)
    ]


def test_a_short_pause_ends_an_utterance_if_somebody_else_goes_on():
    said = utterances([(1, 0), (2, ANNA), (0.21, 0), (2, BEN), (0.21, 0), (2, ANNA), (1, 0)])
    assert [speaker for speaker, _, _ in said] == ["mono/1", "mono/2", "mono/1"]
    ends = [end for _, _, end in said]
    assert ends[:2] == pytest.approx([3.1, 5.3], abs=0.25)


def test_a_short_pause_of_one_speaker_does_not():
    said = utterances([(1, 0), (2, ANNA), (0.21, 0), (2, ANNA), (0.21, 0), (2, ANNA), (1, 0)])
    assert [speaker for speaker, _, _ in said] == ["mono/1"]


def test_splits_where_the_voice_changes_without_a_pause():
    said = utterances([(1, 0), (6, ANNA), (6, BEN), (1, 0)], pre_roll=0.0)
    assert [speaker for speaker, _, _ in said] == ["mono/1", "mono/2"]


def test_decides_soon_after_the_change():
    events = listen(segmenter(), audio((1, 0), (2, ANNA), (0.21, 0), (2, BEN), (1, 0)))
    first = next(event for event in events if isinstance(event, SpeechEnded))
    assert first.at - 3.21 * SAMPLE_RATE <= 0.81 * SAMPLE_RATE


def test_a_short_answer_at_the_end_is_somebody_elses():
    known = [(1, 0), (2, ANNA), (1, 0), (2, BEN), (1, 0)]
    said = utterances([*known, (2, ANNA), (0.21, 0), (0.6, BEN), (1, 0)])
    assert [speaker for speaker, _, _ in said] == ["mono/1", "mono/2", "mono/1", "mono/2"]


parts = st.lists(
    st.tuples(st.integers(1, 60).map(lambda n: n * 0.05), st.sampled_from([0.0, ANNA, BEN, CARLA])),
    min_size=1,
    max_size=12,
)
sizes = st.lists(st.integers(200, 80_000), min_size=1, max_size=8)


@given(parts, sizes)
@settings(max_examples=25)
def test_chunk_sizes_do_not_matter(said, chunk_sizes):
    samples = audio(*said)
    whole = listen(segmenter(max_utterance=6.0), samples, [len(samples)])
    assert plain(listen(segmenter(max_utterance=6.0), samples, chunk_sizes)) == plain(whole)
    check_lifecycle(whole, samples, Segmentation(max_utterance=6.0))


@given(parts, parts)
@settings(max_examples=25)
def test_the_future_never_changes_the_past(past, future):
    samples = audio(*past)
    other = np.concatenate([samples, audio(*future)])
    short = plain(listen(segmenter(), samples))
    known = [
        each
        for each, event in zip(short, listen(segmenter(), samples), strict=True)
        if event.at < len(samples) - 960
    ]
    assert plain(listen(segmenter(), other))[: len(known)] == known


def turns(*places):
    """Turns of the sample call in one channel, 0.2 s apart; places are (channel, begin, end) in seconds."""
    call, rate = soundfile.read(SAMPLES, dtype="float32")
    step = rate // SAMPLE_RATE
    pause = np.zeros(SAMPLE_RATE // 5, np.float32)
    pieces = [pause]
    for channel, begin, end in places:
        pieces += [call[int(begin * rate) : int(end * rate) : step, channel], pause]
    return np.concatenate([*pieces, np.zeros(SAMPLE_RATE, np.float32)])


QUICK = turns((0, 0.6, 3.6), (1, 4.1, 6.7), (0, 7.1, 10.0), (1, 10.3, 12.7))


def said_in(samples, endpoint):
    voices = make_voices(Speakers(), "mono")
    events = listen(make_segmenter(Segmentation(endpoint=endpoint), 0, voices), samples)
    return [event for event in events if isinstance(event, SpeechEnded)]


def test_four_quick_turns_are_four_utterances_of_two_speakers():
    said = said_in(QUICK, "fixed")
    assert [event.speaker for event in said] == ["mono/1", "mono/2", "mono/1", "mono/2"]
    ends = np.cumsum([3.2, 2.8, 3.1])
    assert [event.end / SAMPLE_RATE for event in said[:3]] == pytest.approx(ends, abs=0.25)


def test_turns_that_sound_complete_have_the_same_speakers():
    said = said_in(QUICK, "adaptive")
    speakers = [name for name, _ in groupby(event.speaker for event in said)]
    assert speakers == ["mono/1", "mono/2", "mono/1", "mono/2"]


def test_a_pause_within_a_turn_does_not_end_it():
    said = said_in(turns((0, 0.6, 3.6)), "adaptive")
    assert len(said) == 1
