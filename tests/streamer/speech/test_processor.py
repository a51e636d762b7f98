"""What is heard depends on the audio alone: not on how it was cut, nor on how much of it is heard at a time."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import FRAME, AudioChunk, Gap
from streamer.settings.tree import Segmentation
from streamer.speech.processor import Ended, Estimate, Listener, Lost, Started
from streamer.speech.segmenter import Segmenter
from tests.streamer.speech.speech import PeakDetector, audio

SHORT = Segmentation(
    hangover=0.3, pause=0.09, min_speech=0.09, max_utterance=2.0, split_search=0.9, pre_roll=0.2
)
INTERVAL = 2000


class Sum:
    """An audio stream whose embedding tells what it was given: the number of samples, and their sum."""

    def __init__(self):
        self.heard = np.zeros(0, np.float32)

    def push(self, samples):
        self.heard = np.concatenate([self.heard, samples])

    def estimate(self):
        return self.embedding()

    def embedding(self, end=None):
        heard = self.heard[:end].astype(np.float64)
        return torch.tensor([len(heard), heard.sum()], dtype=torch.float64)


def listener(channels, *, wait=True):
    segmenters = [Segmenter(PeakDetector(), SHORT, channel) for channel in range(channels)]
    return Listener(segmenters, Sum, interval=INTERVAL, wait=wait)


def signals(channels):
    """For each channel its audio and gaps, one after the other, all of them equally long."""
    length = min(sum(len(part) for part in parts) for parts in channels)
    made = []
    for channel, parts in enumerate(channels):
        position, items = 0, []
        for number, part in enumerate(parts):
            samples = part[: length - position]
            end = position + len(samples)
            if number % 2 and end > position:
                items.append(Gap(channel, position, end, "lost"))
            elif end > position:
                items.append(AudioChunk(channel, position, samples))
            position = end
        made.append(items)
    return made


def pieces(items, sizes):
    """The same with its audio cut to the sizes, over and over."""
    turn = 0
    for item in items:
        if isinstance(item, Gap):
            yield item
            continue
        offset = 0
        while offset < len(item.samples):
            size = sizes[turn % len(sizes)]
            yield AudioChunk(
                item.channel, item.start + offset, item.samples[offset : offset + size]
            )
            offset, turn = offset + size, turn + 1


def heard(channels, sizes, *, greedy=True):
    """All that is heard, the audio being cut to the sizes and heard as soon as possible, or at the end."""
    ear = listener(len(channels))
    told = []
    items = [piece for channel in channels for piece in pieces(channel, sizes)]
    for item in sorted(items, key=lambda item: (item.end, item.channel)):
        ear.push(item)
        if greedy and ear.due:
            told += ear.hear()
    return told + ear.finish()


def plain(what):
    """In a form that can be compared."""
    match what:
        case Started() | Lost():
            return what
        case Ended(channel, speech, embedding):
            return (channel, speech.start, speech.end, speech.at, *embedding.tolist())
        case Estimate(channel, start, at, embedding):
            return (channel, start, at, *embedding.tolist())
        case _:
            return (type(what), what.channel, what.start)


parts = st.lists(
    st.lists(
        st.tuples(st.integers(10, 700).map(lambda ms: ms / 1000), st.sampled_from([0.0, 0.9])),
        min_size=1,
        max_size=8,
    ).map(lambda parts: audio(*parts)),
    min_size=1,
    max_size=4,
)
sizes = st.lists(st.integers(50, 20_000), min_size=1, max_size=4)


@given(st.lists(parts, min_size=1, max_size=3), sizes, sizes)
@settings(max_examples=60, deadline=None)
def test_it_does_not_matter_how_the_audio_was_cut(parts, sizes, others):
    channels = signals(parts)
    told = [plain(what) for what in heard(channels, sizes)]
    assert told == [plain(what) for what in heard(channels, others)]
    assert told == [plain(what) for what in heard(channels, others, greedy=False)]


@given(parts, st.lists(st.integers(50, 3000), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_what_has_nothing_to_tell_is_gathered_and_nothing_is_told_later_for_it(parts, sizes):
    (channel,) = signals([parts])
    eager, patient = listener(1, wait=False), listener(1, wait=False)
    times = [0, 0]
    for item in pieces(channel, sizes):
        told = []
        for place, (ear, hears) in enumerate(((eager, True), (patient, False))):
            ear.push(item)
            if hears or ear.due:
                times[place] += 1
                told.append([plain(what) for what in ear.hear()])
            else:
                told.append([])
        assert told[0] == told[1]
    assert times[1] <= times[0]


def test_a_live_channel_is_heard_a_few_times_a_second():
    (channel,) = signals([[audio((1.0, 0.0), (1.0, 0.9))]])
    for excluded, most in ((False, 26), (True, 8)):
        segmenter = None if excluded else Segmenter(PeakDetector(), Segmentation(), 0)
        ear = Listener([segmenter], Sum, interval=8000, wait=False)
        times = 0
        for item in pieces(channel, [FRAME]):
            ear.push(item)
            if ear.due:
                times += 1
                ear.hear()
        assert 0 < times <= most


def test_estimates_are_made_while_somebody_speaks_at_the_end_of_a_frame():
    (voice,) = signals([[audio((0.5, 0.0), (1.5, 0.9), (0.6, 0.0))]])
    told = heard([voice], [160])
    (started,) = [what for what in told if isinstance(what, Started)]
    estimates = [what for what in told if isinstance(what, Estimate)]
    assert len(estimates) > 5
    pause = 67 * FRAME + 3 * FRAME  # the end of the voice, and SHORT.pause
    for before, estimate in zip([started, *estimates], estimates, strict=False):
        assert estimate.at % FRAME == 0
        origin = before.start if before is started else before.at
        assert INTERVAL <= estimate.at - origin < INTERVAL + FRAME or before is started
        count, total = estimate.embedding.tolist()
        known = min(estimate.at, pause)
        assert count == known - estimate.start
        assert total == voice[0].samples[estimate.start : known].astype(np.float64).sum()


def test_the_silence_that_ends_an_utterance_is_no_work():
    given_to = []

    class Noted(Sum):
        def __init__(self):
            super().__init__()
            given_to.append(self)

    segmenters = [Segmenter(PeakDetector(), SHORT, 0)]
    ear = Listener(segmenters, Noted, interval=INTERVAL, wait=True)
    ear.push(AudioChunk(0, 0, audio((0.5, 0.0), (0.8, 0.9), (0.2, 0.0), (0.5, 0.9), (0.6, 0.0))))
    (ended,) = [what for what in ear.finish() if isinstance(what, Ended)]
    (stream,) = given_to
    assert ended.embedding[0] == ended.speech.end - ended.speech.start
    assert (
        len(stream.heard) <= ended.embedding[0] + 3 * FRAME
    )  # SHORT.pause, of 10 frames' hangover


def test_nothing_is_estimated_for_who_is_behind_and_the_utterance_is_the_same():
    (voice,) = signals([[audio((0.5, 0.0), (1.5, 0.9), (0.6, 0.0))]])
    ear = listener(1)
    ear.estimating = False
    ear.push(voice[0])
    told = ear.finish()
    assert not [what for what in told if isinstance(what, Estimate)]
    assert [plain(w) for w in told] == [
        plain(w) for w in heard([voice], [160]) if not isinstance(w, Estimate)
    ]


def test_live_channels_do_not_wait_for_each_other():
    ear = listener(2, wait=False)
    ear.push(AudioChunk(1, 0, audio((0.5, 0.9))))
    assert ear.due
    assert [type(what) for what in ear.hear()][:1] == [Started]
