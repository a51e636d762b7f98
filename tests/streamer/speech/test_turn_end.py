"""The adaptive endpoint: a turn that sounds complete ends early, another one late."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import FRAME, AudioChunk
from streamer.errors import UserError
from streamer.settings.tree import Segmentation
from streamer.speech import Effort, turn_end
from streamer.speech.registry import make_segmenter
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed
from streamer.speech.turn_end import SmartTurn
from tests.streamer.speech.speech import (
    PeakDetector,
    audio,
    check_lifecycle,
    listen,
    names,
    plain,
    utterances,
)
from tests.streamer.speech.test_segmenter_properties import levels, sizes

ADAPTIVE = Segmentation(endpoint="adaptive", complete=0.5)
EARLY, LATE = 9 * FRAME, 23 * FRAME


class Scores:
    """Says the same of every turn, and remembers how long each was."""

    window = 8 * 16000

    def __init__(self, probability):
        self.probability = probability
        self.lengths = []
        self.brief = []

    def __call__(self, turn, *, brief):
        self.lengths.append(len(turn))
        self.brief.append(brief)
        return self.probability


class Loudness:
    """Takes loud turns for complete."""

    window = 16000

    def __call__(self, turn, *, brief):
        return float(np.abs(turn).mean())


def segmenter(turn_end, **changes):
    return Segmenter(PeakDetector(), ADAPTIVE.model_copy(update=changes), 0, turn_end)


def test_a_turn_that_sounds_complete_ends_soon():
    (ended,) = utterances(listen(segmenter(Scores(0.9)), audio((0.6, 0), (0.9, 0.9), (1, 0))))
    assert ended.at - ended.voice_end == EARLY


def test_a_turn_that_does_not_ends_after_the_whole_silence():
    turn_end = Scores(0.1)
    (ended,) = utterances(listen(segmenter(turn_end), audio((0.6, 0), (0.9, 0.9), (1, 0))))
    assert ended.at - ended.voice_end == LATE
    assert len(turn_end.lengths) == 1


@pytest.mark.parametrize(
    ("effort", "asked", "after"),
    [(Effort.ALL, [False], EARLY), (Effort.LESS, [True], EARLY), (Effort.LEAST, [], LATE)],
)
def test_asks_as_its_effort_says(effort, asked, after):
    turn_end = Scores(0.9)
    adaptive = segmenter(turn_end)
    adaptive.effort = effort
    (ended,) = utterances(listen(adaptive, audio((0.6, 0), (0.9, 0.9), (1, 0))))
    assert turn_end.brief == asked
    assert ended.at - ended.voice_end == after


def test_asks_once_in_each_pause():
    turn_end = Scores(0.1)
    parts = (0.6, 0), (0.6, 0.9), (0.3, 0), (0.6, 0.9), (1, 0)
    assert names(listen(segmenter(turn_end), audio(*parts))).count("Ended") == 1
    assert len(turn_end.lengths) == 2


def test_a_dip_that_is_shorter_costs_nothing():
    turn_end = Scores(0.9)
    listen(segmenter(turn_end), audio((0.6, 0), (0.6, 0.9), (0.18, 0), (0.6, 0.9)))
    assert turn_end.lengths == []


def test_gives_the_earlier_utterances_of_the_turn_up_to_the_window():
    turn_end = Scores(0.9)
    listen(segmenter(turn_end, pre_roll=0.0), audio(*[(1.5, 0.9), (0.9, 0)] * 5))
    step = round(2.4 * 16000)
    assert turn_end.lengths == [
        min(turn_end.window, 24000 + EARLY + step * number)
        for number in range(len(turn_end.lengths))
    ]
    assert turn_end.lengths[-1] == turn_end.window


def test_after_two_seconds_of_silence_or_a_gap_a_new_turn_begins():
    turn_end = Scores(0.9)
    adaptive = segmenter(turn_end, pre_roll=0.0)
    listen(adaptive, audio((1.5, 0.9), (2.4, 0), (1.5, 0.9), (0.9, 0)))
    assert turn_end.lengths == [24000 + EARLY] * 2
    end = adaptive.position
    list(adaptive.gap(end, end + 480))
    list(adaptive.push(AudioChunk(0, end + 480, audio((1.5, 0.9), (0.9, 0)))))
    assert turn_end.lengths == [24000 + EARLY] * 3


def test_a_turn_goes_on_where_an_utterance_was_split():
    turn_end = Scores(0.9)
    limits = {"max_utterance": 5.0, "split_search": 2.0, "pre_roll": 0.0}
    listen(segmenter(turn_end, **limits), audio((6.9, 0.9), (0.9, 0)))
    assert turn_end.lengths == [230 * FRAME + EARLY]


@given(levels, sizes)
@settings(max_examples=100, deadline=None)
def test_chunk_sizes_do_not_matter(parts, chunk_sizes):
    samples = audio(*parts)

    def cut(some):
        detector = Smoothed(PeakDetector())
        return listen(Segmenter(detector, ADAPTIVE, 0, Loudness()), samples, some)

    events = cut(chunk_sizes)
    assert plain(events) == plain(cut([len(samples)]))
    check_lifecycle(events, samples, ADAPTIVE)


@given(levels, st.floats(0, 1), levels)
@settings(max_examples=50, deadline=None)
def test_the_future_does_not_change_the_past(parts, share, other):
    samples = audio(*parts)
    known = round(share * len(samples))
    changed = np.concatenate([samples[:known], audio(*other)])

    def before(some):
        events = listen(Segmenter(PeakDetector(), ADAPTIVE, 0, Loudness()), some)
        return plain([event for event in events if event.at < known - FRAME])

    assert before(changed) == before(samples)


def test_memory_stays_within_the_window():
    adaptive = segmenter(Scores(0.9))
    for number in range(60):
        list(adaptive.push(AudioChunk(0, number * 16000, audio((0.6, 0.9), (0.4, 0)))))
    assert adaptive._tape.end - adaptive._tape.start <= 9 * 16000
    list(adaptive.push(AudioChunk(0, 60 * 16000, audio((30.0, 0.0)))))
    assert adaptive._tape.end - adaptive._tape.start <= 16000


class Session:
    """A network that says one thing of a second, another of anything longer."""

    def __init__(self, short, long):
        self.says = {100: short}
        self.long = long
        self.frames = []

    def run(self, _, inputs):
        _, bands, frames = inputs["input_features"].shape
        assert bands == 80
        self.frames.append(frames)
        return [np.array([[self.says.get(frames, self.long)]])]


class TestSmartTurn:
    @pytest.mark.parametrize(
        ("samples", "probability"), [(64000, 0.8278), (16000, 0.9440), (8000, 0.0929)]
    )
    def test_is_the_network_that_was_measured(self, samples, probability):
        noise = np.random.default_rng(samples).normal(size=samples).astype(np.float32) * 0.05
        assert SmartTurn()(noise) == pytest.approx(probability, abs=0.005)

    @pytest.mark.parametrize(
        ("short", "samples", "frames", "said"),
        [
            (0.02, 64000, [100], 0.02),
            (0.7, 64000, [100], 0.7),
            (0.2, 64000, [100, 400], 0.5),
            (0.6, 20001, [100, 126], 0.5),
            (0.6, 9000, [100], 0.6),
        ],
        ids=["open", "done", "in doubt", "in doubt, of odd length", "short"],
    )
    def test_asks_about_more_than_a_second_where_that_leaves_a_doubt(
        self, short, samples, frames, said
    ):
        smart_turn = SmartTurn()
        smart_turn._session = session = Session(short, 0.5)
        assert smart_turn(np.ones(samples, np.float32)) == said
        assert session.frames == frames

    @pytest.mark.parametrize(
        ("short", "samples", "said"),
        [(0.02, 64000, 0.02), (0.6, 64000, 0.3), (0.7, 64000, 0.7), (0.6, 9000, 0.6)],
        ids=["open", "in doubt", "done", "short"],
    )
    def test_asked_briefly_trusts_a_second_half_as_much_where_that_leaves_a_doubt(
        self, short, samples, said
    ):
        smart_turn = SmartTurn()
        smart_turn._session = session = Session(short, 0.5)
        assert smart_turn(np.ones(samples, np.float32), brief=True) == said
        assert session.frames == [100]

    def test_is_used_if_the_settings_say_so(self):
        assert isinstance(make_segmenter(Segmentation(), 0)._turn_end, SmartTurn)
        assert make_segmenter(Segmentation(endpoint="fixed"), 0)._turn_end is None

    @pytest.mark.parametrize(("file", "said"), [("no.onnx", "cannot read"), ("LICENSE", "damaged")])
    def test_a_file_that_is_missing_or_another_is_one_line(self, monkeypatch, file, said):
        monkeypatch.setattr(turn_end, "_FILE", f"smart-turn-3.2/{file}")
        turn_end._session.cache_clear()
        with pytest.raises(UserError, match=said):
            SmartTurn()
        turn_end._session.cache_clear()
