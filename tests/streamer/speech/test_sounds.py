"""Sounds that are no speech: found where they are, whatever the sizes of the chunks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import SAMPLE_RATE, AudioChunk
from streamer.settings.tree import Segmentation, Sounds
from streamer.speech import SoundHeard
from streamer.speech.processor import ChannelProcessor
from streamer.speech.registry import sound_detectors
from streamer.speech.segmenter import Segmenter
from streamer.speech.sounds import BLOCK, Rule, _Follower
from tests.streamer.speech.speech import Buffered, PeakDetector, audio
from tools.data.decoding import decode
from tools.training.tasks.sound_clips import tone

RINGING = tone((425,), 5, 4)[: 14 * SAMPLE_RATE]
"""Five seconds of a tone, four of silence, five of the tone."""
SILENCE = np.zeros(SAMPLE_RATE, np.float32)


def detector():
    return sound_detectors(Sounds(detect=True))(0)


def heard(*chunks):
    found, one = [], detector()
    for chunk in chunks:
        for piece in one.cut(chunk):
            found += one.push(piece)
    return found + list(one.finish())


def pieces(samples, sizes, start=0):
    turn = position = 0
    while position < len(samples):
        size = sizes[turn % len(sizes)]
        yield AudioChunk(0, start + position, samples[position : position + size])
        position, turn = position + size, turn + 1


def test_is_made_only_if_asked_for():
    assert sound_detectors(Sounds(detect=False))(0) is None


def test_a_ringing_tone_is_music_while_it_rings():
    found = heard(AudioChunk(0, 0, RINGING))
    assert {each.sound for each in found} == {"music"}
    assert len(found) == 2
    first, second = found
    assert abs(first.end - 5 * SAMPLE_RATE) < SAMPLE_RATE // 2
    assert abs(second.start - 9 * SAMPLE_RATE) < SAMPLE_RATE


def test_silence_and_noise_are_no_sound():
    noise = np.random.default_rng(0).normal(0, 0.01, 5 * SAMPLE_RATE).astype(np.float32)
    assert not heard(AudioChunk(0, 0, np.concatenate([SILENCE, noise, SILENCE])))


def test_sounds_lie_on_the_time_of_the_conversation():
    early, late = (heard(AudioChunk(0, start, RINGING)) for start in (0, 100 * BLOCK))
    assert [each.start + 100 * BLOCK for each in early] == [each.start for each in late]


@settings(max_examples=10)
@given(st.lists(st.integers(1, 3 * SAMPLE_RATE), min_size=1, max_size=4))
def test_sizes_of_chunks_change_nothing(sizes):
    sizes = [*sizes, SAMPLE_RATE]
    assert heard(*pieces(RINGING, sizes)) == heard(AudioChunk(0, 0, RINGING))


def test_a_sound_ends_where_audio_is_lost():
    ringing = RINGING[: SAMPLE_RATE * 5]
    found = heard(AudioChunk(0, 0, ringing), AudioChunk(0, 10 * SAMPLE_RATE, ringing))
    assert [each.sound for each in found] == ["music", "music"]
    assert found[0].end <= 5 * SAMPLE_RATE
    assert found[1].start >= 10 * SAMPLE_RATE


def test_what_is_not_a_number_is_silence():
    broken = RINGING.copy()
    broken[16_000:16_100] = np.nan
    assert heard(AudioChunk(0, 0, broken))


def follow(scores, rule):
    follower = _Follower(rule)
    found = [follower.take(moment, score) for moment, score in enumerate(scores)]
    return [each for each in (*found, follower.finish()) if each]


def test_short_peaks_are_no_sound():
    rule = Rule(0.8, shortest=3, pause=2)
    assert not follow([0.9, 0.9, 0.1, 0.1, 0.1], rule)
    assert follow([0.9, 0.9, 0.9, 0.1, 0.1, 0.1], rule) == [(0, 3, pytest.approx(0.9))]


def test_a_pause_within_a_sound_belongs_to_it():
    rule = Rule(0.8, shortest=2, pause=2)
    scores = [0, 0.9, 0.9, 0.1, 0.1, 0.5, 0, 0, 0, 0.9, 0.9]
    assert [each[:2] for each in follow(scores, rule)] == [(1, 6), (9, 11)]


def test_long_sounds_are_reported_every_30_seconds():
    found = follow([0.9] * 1600, Rule(0.8, shortest=25, pause=50))
    assert [each[:2] for each in found] == [(0, 750), (750, 1500), (1500, 1600)]


def segmented(samples, *, cautious):
    segmenter = Segmenter(PeakDetector(), Segmentation(), 0)
    segmenter.set_cautious(cautious=cautious)
    return [*segmenter.push(AudioChunk(0, 0, samples)), *segmenter.flush()]


def test_over_music_only_long_speech_is_an_utterance():
    short, long = (audio((1.0, 0.0), (length, 0.9), (1.0, 0.0)) for length in (0.6, 2.0))
    assert segmented(short, cautious=False)
    assert not segmented(short, cautious=True)
    assert segmented(long, cautious=True)


def test_no_speech_over_music_is_cut():
    speech = audio((1.0, 0.0), (2.0, 0.9), (1.0, 0.0))
    plain, cautious = (segmented(speech, cautious=flag) for flag in (False, True))
    assert (plain[0].start, plain[-1].end) == (cautious[0].start, cautious[-1].end)


def test_talk_has_no_sounds(shared_data):
    talk = [
        decode(shared_data / "calls" / f"{name}.ogg") for name in ("asr_jfk", "asr_rtstt_reference")
    ]
    assert not heard(AudioChunk(0, 0, np.concatenate(talk)))


class Nothing:
    """An audio stream whose embeddings are of no interest here."""

    look_back = SAMPLE_RATE

    def push(self, samples):
        pass

    def estimate(self):
        return torch.zeros(1)

    def embedding(self, end=None):
        return torch.zeros(1)


def processed(samples, sizes, *, sounds=True):
    """The events of a channel, its audio cut to the sizes."""
    channel = ChannelProcessor(
        0,
        Segmenter(PeakDetector(), Segmentation(), 0),
        Nothing,
        SAMPLE_RATE // 2,
        sounds=detector() if sounds else None,
    )
    speech = Buffered([channel], wait=True)
    events = []
    for piece in pieces(samples, sizes):
        speech.push(piece)
        if speech.due:
            events += speech.process()
    return events + speech.finish()


CALL = np.concatenate([audio((0.5, 0.0), (1.5, 0.9), (1.0, 0.0)), RINGING, audio((2.0, 0.9))])


def plain(event):
    known_at = getattr(event, "at", None)
    return type(event), event.start, getattr(event, "end", None), known_at


@settings(max_examples=5)
@given(st.lists(st.integers(1, 3 * SAMPLE_RATE), min_size=1, max_size=3))
def test_events_of_speech_and_sounds_come_in_one_order_whatever_the_chunks(sizes):
    whole = [plain(each) for each in processed(CALL, [len(CALL)])]
    assert [plain(each) for each in processed(CALL, [*sizes, SAMPLE_RATE])] == whole
    assert SoundHeard in {kind for kind, *_ in whole}


def test_events_come_in_the_order_in_which_they_are_known():
    times = [event.at for event in processed(CALL, [4800])]
    assert times == sorted(times)


def test_speech_without_music_is_cut_the_same():
    with_sounds, without = (
        [plain(each) for each in processed(CALL[: 3 * SAMPLE_RATE], [4800], sounds=sounds)]
        for sounds in (True, False)
    )
    assert [each for each in with_sounds if each[0] is not SoundHeard] == without
