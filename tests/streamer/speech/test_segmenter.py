from itertools import pairwise

import numpy as np
import pytest

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, to_samples
from streamer.settings.tree import Segmentation
from streamer.speech import SpeechEnded, SpeechPaused, SpeechStarted
from streamer.speech.segmenter import Segmenter
from tests.streamer.speech.speech import (
    PeakDetector,
    audio,
    check_lifecycle,
    listen,
    names,
    utterances,
)

SECOND = SAMPLE_RATE
HANGOVER = 17 * FRAME
PAUSE = 5 * FRAME


def segmenter(**changes):
    return Segmenter(PeakDetector(), Segmentation(endpoint="fixed", **changes), 0)


def test_an_utterance_from_first_to_last():
    samples = audio((0.9, 0.0), (1.2, 0.8), (0.9, 0.0))
    events = listen(segmenter(), samples)
    assert names(events) == ["Started", "Paused", "Ended"]
    started, paused, ended = events
    onset, silence = round(0.9 * SECOND), round(2.1 * SECOND)
    assert started.start == onset - to_samples(0.3)
    assert started.at == onset + 4 * FRAME
    assert paused.at == silence + PAUSE
    assert ended.at == silence + HANGOVER
    assert ended.voice_end == silence
    assert ended.end == paused.end == silence + to_samples(0.09)
    np.testing.assert_array_equal(ended.samples, samples[started.start : ended.end])
    np.testing.assert_array_equal(paused.samples, ended.samples)


def test_ignores_bursts_shorter_than_min_speech():
    assert listen(segmenter(min_speech=0.12), audio((0.9, 0), (0.09, 0.9), (1, 0))) == []
    assert utterances(listen(segmenter(min_speech=0.12), audio((0.9, 0), (0.12, 0.9), (1, 0))))


def test_clicks_far_apart_do_not_add_up_to_speech():
    clicks = [(0.06, 0.9), (0.3, 0.0)] * 20
    assert listen(segmenter(), audio(*clicks)) == []


def test_speech_confirmed_across_a_short_dip():
    started = listen(segmenter(), audio((0.3, 0), (0.09, 0.9), (0.06, 0), (0.3, 0.9), (1, 0)))[0]
    assert isinstance(started, SpeechStarted)
    assert started.start == 0
    assert started.at == 16 * FRAME


def test_a_pause_within_the_hangover_resumes():
    events = listen(segmenter(), audio((0.3, 0), (0.6, 0.9), (0.3, 0), (0.6, 0.9), (0.9, 0)))
    assert names(events) == ["Started", "Paused", "Resumed", "Paused", "Ended"]
    assert events[2].at == 41 * FRAME
    assert events[-1].voice_end == 60 * FRAME


def test_ignores_dips_shorter_than_the_pause():
    events = listen(segmenter(), audio((0.3, 0), (0.6, 0.9), (0.12, 0), (0.6, 0.9), (0.9, 0)))
    assert names(events) == ["Started", "Paused", "Ended"]


def test_silence_longer_than_the_hangover_makes_two_utterances():
    samples = audio((0.6, 0.9), (0.6, 0), (0.6, 0.9), (0.6, 0))
    first, second = utterances(listen(segmenter(pre_roll=1.0), samples))
    assert first.start == 0
    assert second.start == first.end  # the pre-roll reaches no further than the last utterance


def test_speech_goes_on_at_less_than_what_starts_it():
    settings = {"threshold": 0.6, "hysteresis": 0.3}
    assert listen(segmenter(**settings), audio((2, 0.5), (1, 0))) == []
    (ended,) = utterances(listen(segmenter(**settings), audio((0.3, 0.7), (0.6, 0.4), (1, 0))))
    assert ended.voice_end == 30 * FRAME


def test_silence_is_left_only_by_what_would_start_speech():
    parts = (0.6, 0.7), (0.3, 0.1), (0.6, 0.4), (1, 0)
    (ended,) = utterances(listen(segmenter(threshold=0.6, hysteresis=0.3), audio(*parts)))
    assert ended.voice_end == 20 * FRAME


@pytest.mark.parametrize("extra", [0, 1, 200, 479])
def test_the_end_of_the_audio_ends_the_utterance(extra):
    samples = audio(((60 * FRAME + extra) / SECOND, 0.9))
    events = listen(segmenter(), samples)
    assert names(events) == ["Started", "Ended"]
    assert events[-1].end == events[-1].at == events[-1].voice_end == len(samples)


def test_the_tail_does_not_reach_beyond_the_audio():
    samples = audio((0.9, 0.9), (0.05, 0.0))
    (ended,) = utterances(listen(segmenter(tail=0.5), samples))
    assert ended.voice_end == 30 * FRAME
    assert ended.end == len(samples)


def test_unconfirmed_speech_at_the_end_is_noise():
    assert listen(segmenter(), audio((0.9, 0), (0.09, 0.9))) == []


class TestTooLong:
    SETTINGS = Segmentation(max_utterance=5.0, split_search=2.0, pre_roll=0.0)

    def cut(self, samples):
        events = listen(Segmenter(PeakDetector(), self.SETTINGS, 0), samples)
        check_lifecycle(events, samples, self.SETTINGS)
        return events

    def test_is_split_at_the_quietest_place(self):
        samples = audio((4.02, 0.9), (0.12, 0.4), (4.0, 0.9), (1, 0))
        events = self.cut(samples)
        assert names(events) == ["Started", "Ended", "Started", "Paused", "Ended"]
        first, second = utterances(events)
        assert first.end == 136 * FRAME  # the middle of the quiet frames 134 to 137
        assert second.start == first.end
        assert events[1].at == events[2].at <= 5 * SECOND
        np.testing.assert_array_equal(
            np.concatenate((first.samples, second.samples)), samples[: second.end]
        )

    def test_prefers_a_breath_between_words(self):
        samples = audio((3.6, 0.9), (0.12, 0.0), (4.0, 0.9), (1, 0))
        first, _ = utterances(self.cut(samples))
        assert first.voice_end == 120 * FRAME
        assert first.end == 122 * FRAME

    def test_is_split_again_and_again(self):
        samples = audio((30, 0.9), (1, 0))
        parts = utterances(self.cut(samples))
        assert len(parts) >= 7
        assert parts[0].start == 0
        assert all(b.start == a.end for a, b in pairwise(parts))
        assert parts[-1].voice_end == 1000 * FRAME

    def test_ends_instead_if_the_speaker_pauses_there(self):
        samples = audio((4.71, 0.9), (0.35, 0.0), (2, 0.9), (1, 0))
        events = self.cut(samples)
        assert names(events) == ["Started", "Paused", "Ended", "Started", "Paused", "Ended"]
        assert events[2].voice_end == 157 * FRAME
        assert events[3].start > events[2].end

    def test_leaves_speech_on_both_sides(self):
        samples = audio((4.89, 0.9), (1, 0))
        for part in utterances(self.cut(samples)):
            assert part.voice_end - part.start >= 4 * FRAME


class TestGap:
    def test_ends_the_utterance_where_the_audio_broke(self):
        cutter = segmenter()
        samples = audio((1.0, 0.9))
        assert names(cutter.push(AudioChunk(0, 0, samples))) == ["Started"]
        (ended,) = cutter.gap(SECOND, 3 * SECOND)
        assert isinstance(ended, SpeechEnded)
        assert (ended.end, ended.at, ended.voice_end) == (SECOND, SECOND, SECOND)
        assert cutter._detector.resets == 1

    @pytest.mark.parametrize("end", [2 * SECOND, 2 * SECOND + 1, 2 * SECOND + 479])
    def test_time_goes_on_behind_it(self, end):
        cutter = segmenter(pre_roll=1.0)
        list(cutter.push(AudioChunk(0, 0, audio((1.0, 0.9)))))
        list(cutter.gap(SECOND, end))
        samples = audio((1.0, 0.9), (1.0, 0.0))
        events = listen(cutter, samples, start=end)
        check_lifecycle(events, samples, Segmentation(pre_roll=1.0), start=end)
        assert events[0].start == end
        assert events[0].at % FRAME == 0

    def test_audio_that_was_skipped_counts_as_lost(self):
        cutter = segmenter()
        list(cutter.push(AudioChunk(0, 0, audio((1.0, 0.9)))))
        events = list(cutter.push(AudioChunk(0, 5 * SECOND, audio((1.0, 0.9)))))
        assert names(events) == ["Ended", "Started"]
        assert events[1].start == 5 * SECOND

    def test_in_silence_says_nothing(self):
        cutter = segmenter()
        list(cutter.push(AudioChunk(0, 0, audio((1.0, 0.0)))))
        assert list(cutter.gap(SECOND, 2 * SECOND)) == []
        assert cutter.position == 2 * SECOND

    def test_drops_what_was_not_yet_confirmed(self):
        cutter = segmenter()
        list(cutter.push(AudioChunk(0, 0, audio((0.9, 0.0), (0.09, 0.9)))))
        assert list(cutter.gap(cutter.position, 60 * FRAME)) == []
        assert list(cutter.push(AudioChunk(0, 60 * FRAME, audio((0.09, 0.9), (1, 0))))) == []

    def test_cannot_lie_in_the_past(self):
        cutter = segmenter()
        list(cutter.push(AudioChunk(0, 0, audio((1.0, 0.0)))))
        with pytest.raises(ValueError, match="gap from 0 to 100"):
            cutter.gap(0, 100)


def test_audio_out_of_order_is_refused():
    cutter = segmenter()
    list(cutter.push(AudioChunk(0, 0, audio((1.0, 0.0)))))
    with pytest.raises(ValueError, match="audio at 8000 after audio up to 16000"):
        cutter.push(AudioChunk(0, 8000, audio((1.0, 0.0))))
    with pytest.raises(ValueError, match="channel 1 given to channel 0"):
        cutter.push(AudioChunk(1, SECOND, audio((1.0, 0.0))))


def test_holds_the_audio_of_an_utterance_while_its_events_are_handled():
    cutter = segmenter(max_utterance=5.0, split_search=2.0)
    samples = audio((0.5, 0), (8, 0.9), (0.3, 0), (0.5, 0.9), (1, 0))
    events = []
    for event in cutter.push(AudioChunk(0, 0, samples)):
        events.append(event)
        held = cutter.view(event.start, event.at)
        np.testing.assert_array_equal(held, samples[event.start : event.at])
    assert len(utterances(events)) == 2


@pytest.mark.parametrize("samples", [np.empty(0, np.float32), np.ones(1, np.float32)])
def test_hardly_any_audio(samples):
    assert listen(segmenter(), samples) == []


def test_flushing_twice_says_nothing_twice():
    cutter = segmenter()
    assert names(listen(cutter, audio((1.0, 0.9)))) == ["Started", "Ended"]
    assert list(cutter.flush()) == []


def test_numbers_that_are_none_reach_neither_detector_nor_utterance():
    samples = audio((1.0, 0.9), (1.0, 0.0))
    samples[[100, 5000, 9000]] = np.nan, np.inf, -np.inf
    (ended,) = utterances(listen(segmenter(), samples))
    assert np.isfinite(ended.samples).all()


@pytest.mark.parametrize("peak", [0.0, 0.9], ids=["silence", "speech"])
def test_memory_does_not_grow(peak):
    cutter = segmenter(max_utterance=5.0, split_search=2.0)
    minute = audio((60.0, peak))
    largest = 0
    for index in range(30):
        for event in cutter.push(AudioChunk(0, index * 60 * SECOND, minute)):
            assert not isinstance(event, SpeechPaused)
        largest = max(largest, len(cutter._tape._data), len(cutter._voiced))
    assert largest < 2 * 7 * SECOND
