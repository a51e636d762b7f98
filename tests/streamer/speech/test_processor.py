"""Events depend on the audio alone: not on how it was cut, nor on how much of it is processed at a time."""

import itertools

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import FRAME, AudioChunk, Gap
from streamer.settings.tree import Segmentation
from streamer.speech import Effort, SpeechEnded, SpeechStarted, SpeechUpdate
from streamer.speech.acoustics import measure
from streamer.speech.processor import PARTIAL_GROWTH, ChannelProcessor
from streamer.speech.segmenter import Segmenter
from tests.streamer.speech.speech import Buffered, PeakDetector, audio

SHORT = Segmentation(
    end_silence=0.3, pause=0.09, min_speech=0.09, max_utterance=2.0, split_search=0.9, pre_roll=0.2
)
INTERVAL = 2000


class Sum:
    """An audio stream whose embedding shows what it was given: the number of samples, and their sum."""

    look_back = 16_000

    def __init__(self):
        self.pushed = np.zeros(0, np.float32)

    def push(self, samples):
        self.pushed = np.concatenate([self.pushed, samples])

    def estimate(self):
        return self.embedding()

    def embedding(self, end=None):
        pushed = self.pushed[:end].astype(np.float64)
        return torch.tensor([len(pushed), pushed.sum()], dtype=torch.float64)


def processor(channels, *, wait=True, stream=Sum):
    return Buffered(
        [
            ChannelProcessor(n, Segmenter(PeakDetector(), SHORT, n), stream, INTERVAL, partial=True)
            for n in range(channels)
        ],
        wait=wait,
    )


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


def process(channels, sizes, *, greedy=True):
    """All events, the audio being cut to the sizes and processed as soon as possible, or at the end."""
    speech = processor(len(channels))
    events = []
    items = [piece for channel in channels for piece in pieces(channel, sizes)]
    for item in sorted(items, key=lambda item: (item.end, item.channel)):
        speech.push(item)
        if greedy and speech.due:
            events += speech.process()
    return events + speech.finish()


def plain(event):
    """In a form that can be compared."""
    match event:
        case SpeechEnded():
            return (event.channel, event.start, event.end, event.at, *event.embedding.tolist())
        case SpeechUpdate():
            heard = None if event.samples is None else event.samples.tobytes()
            return (event.channel, event.start, event.at, *event.embedding.tolist(), heard)
        case SpeechStarted() | Gap():
            return event
    return (type(event), event.channel, event.start)


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
def test_chunk_sizes_do_not_matter(parts, sizes, others):
    channels = signals(parts)
    events = [plain(event) for event in process(channels, sizes)]
    assert events == [plain(event) for event in process(channels, others)]
    assert events == [plain(event) for event in process(channels, others, greedy=False)]


@given(parts, st.lists(st.integers(50, 3000), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_buffering_delays_no_event(parts, sizes):
    (channel,) = signals([parts])
    eager, buffering = processor(1, wait=False), processor(1, wait=False)
    times = [0, 0]
    for item in pieces(channel, sizes):
        events = [[], []]
        for place, speech in enumerate((eager, buffering)):
            speech.push(item)
            if speech is eager or speech.due:
                times[place] += 1
                events[place] = [plain(event) for event in speech.process()]
        assert events[0] == events[1]
    assert times[1] <= times[0]


def test_processes_a_live_channel_a_few_times_a_second():
    (channel,) = signals([[audio((1.0, 0.0), (1.0, 0.9))]])
    analysed = ChannelProcessor(0, Segmenter(PeakDetector(), Segmentation(), 0), Sum, 8000)
    for one, most in ((analysed, 26), (None, 8)):
        speech = Buffered([one], wait=False)
        times = 0
        for item in pieces(channel, [FRAME]):
            speech.push(item)
            if speech.due:
                times += 1
                speech.process()
        assert 0 < times <= most


def test_makes_updates_at_the_ends_of_frames_while_somebody_speaks():
    (voice,) = signals([[audio((0.5, 0.0), (1.5, 0.9), (0.6, 0.0))]])
    events = process([voice], [160])
    (started,) = [event for event in events if isinstance(event, SpeechStarted)]
    updates = [event for event in events if isinstance(event, SpeechUpdate)]
    assert len(updates) > 5
    pause = 67 * FRAME + 3 * FRAME  # the end of the voice, and SHORT.pause
    for before, update in zip([started, *updates], updates, strict=False):
        assert update.at % FRAME == 0
        if before is not started:
            assert INTERVAL <= update.at - before.at < INTERVAL + FRAME
        count, total = update.embedding.tolist()
        known = min(update.at, pause)
        assert count == known - update.start
        assert total == voice[0].samples[update.start : known].astype(np.float64).sum()


def test_pushes_no_more_than_the_pause_of_the_silence_that_ends_an_utterance():
    streams = []

    class Noted(Sum):
        def __init__(self):
            super().__init__()
            streams.append(self)

    speech = processor(1, stream=Noted)
    speech.push(AudioChunk(0, 0, audio((0.5, 0.0), (0.8, 0.9), (0.2, 0.0), (0.5, 0.9), (0.6, 0.0))))
    (ended,) = [event for event in speech.finish() if isinstance(event, SpeechEnded)]
    (stream,) = streams
    assert ended.embedding[0] == ended.end - ended.start
    assert ended.acoustics == measure(ended.samples)
    assert len(stream.pushed) <= ended.embedding[0] + 3 * FRAME  # SHORT.pause


def test_recomputes_an_embedding_that_ends_far_before_what_was_pushed():
    class Short(Sum):
        look_back = 100

        def embedding(self, end=None):
            assert end is None or len(self.pushed) - end <= self.look_back
            return super().embedding(end)

    speech = processor(1, stream=Short)
    speech.push(AudioChunk(0, 0, audio((1.0, 0.9), (0.03, 0.7), (5.0, 0.9), (0.6, 0.0))))
    ended = [event for event in speech.finish() if isinstance(event, SpeechEnded)]
    assert len(ended) > 2
    for event in ended:
        assert event.embedding[1] == event.samples.astype(np.float64).sum()


def test_utterances_are_the_same_without_updates():
    (voice,) = signals([[audio((0.5, 0.0), (1.5, 0.9), (0.6, 0.0))]])
    speech = processor(1)
    speech.set_effort(Effort.LESS)
    speech.push(voice[0])
    events = speech.finish()
    assert not [event for event in events if isinstance(event, SpeechUpdate)]
    assert [plain(e) for e in events] == [
        plain(e) for e in process([voice], [160]) if not isinstance(e, SpeechUpdate)
    ]


def test_partial_audio_is_the_utterance_so_far_and_comes_as_it_grows_never_in_a_pause():
    (voice,) = signals([[audio((0.5, 0.0), (1.7, 0.9), (0.6, 0.0))]])
    events = process([voice], [160])
    updates = [event for event in events if isinstance(event, SpeechUpdate)]
    partial = [event for event in updates if event.samples is not None]
    assert 3 < len(partial) < len(updates) / 2
    for update in partial:
        heard = voice[0].samples[update.start : update.at]
        assert np.array_equal(update.samples, heard)
        assert 16_000 <= len(heard) <= 2.3 * 16_000
    for before, after in itertools.pairwise(partial):
        assert after.at - before.at >= len(before.samples) // PARTIAL_GROWTH


def test_updates_that_were_left_out_are_not_made_up_for():
    (voice,) = signals([[audio((0.5, 0.0), (1.5, 0.9))]])
    speech = processor(1, wait=False)
    speech.set_effort(Effort.LESS)
    first, second = pieces(voice, [24_000])
    speech.push(first)
    speech.process()
    speech.set_effort(Effort.ALL)
    speech.push(second)
    updates = [event for event in speech.process() if isinstance(event, SpeechUpdate)]
    assert updates[0].at == second.start
    assert len(updates) <= 1 + (second.end - second.start) // INTERVAL


def test_live_channels_do_not_wait_for_each_other():
    speech = processor(2, wait=False)
    speech.push(AudioChunk(1, 0, audio((0.5, 0.9))))
    assert speech.due
    assert [type(event) for event in speech.process()][:1] == [SpeechStarted]
