"""Live audio: taken at once, bounded, given up in a fixed order and never silently."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from streamer.clock import VirtualClock
from streamer.conversation.load import Live, LiveAudio
from streamer.errors import SourceError
from streamer.sources import AudioChunk, Gap, SourceInfo


class Microphone:
    """A source of two channels that delivers when told to."""

    info = SourceInfo("microphone", ("a", "b"), live=True, session="s")

    def __init__(self):
        self.items = asyncio.Queue()
        self.position = {0: 0, 1: 0}

    def speak(self, seconds, channel=0, level=0.5):
        for _ in range(round(seconds * 10)):
            start = self.position[channel]
            self.items.put_nowait(AudioChunk(channel, start, np.full(1600, level, np.float32)))
            self.position[channel] += 1600

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.items.get()
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, Exception):
            raise item
        return item


def never():
    """A stop that does not come."""
    return asyncio.get_running_loop().create_future()


async def settle():
    for _ in range(200):
        await asyncio.sleep(0)


async def test_it_passes_on_what_comes_and_stamps_it():
    source, live, clock = Microphone(), Live(5), VirtualClock()
    source.speak(0.3)
    source.items.put_nowait(None)
    items = [item async for few in LiveAudio(source, clock, live, never()) for item in few]
    assert [item.start for item in items] == [0, 1600, 3200]
    assert {item.captured for item in items} == {clock.seconds()}
    assert (live.position, live.lag, live.lost) == (4800, 0, 0)
    assert live.levels == {0: pytest.approx(0.5)}


async def test_what_waits_is_given_together_up_to_half_a_second():
    source, live = Microphone(), Live(5)
    for channel in (0, 1):
        source.speak(0.7, channel)
    source.items.put_nowait(None)
    few = [few async for few in LiveAudio(source, VirtualClock(), live, never())]
    assert [len(items) for items in few] == [5, 5, 4]
    assert [(i.channel, i.start) for items in few for i in items] == [
        (channel, start) for channel in (0, 1) for start in range(0, 11_200, 1600)
    ]


async def behind(source, live, seconds):
    """An ear that takes one item, then none for so many seconds of audio; what it hears after that."""
    source.speak(0.1)
    audio = aiter(LiveAudio(source, VirtualClock(), live, never()))
    items = await anext(audio)
    lags = []
    for _ in range(round(seconds * 10)):
        source.speak(0.1)
        await settle()
        lags.append(live.lag)
    source.items.put_nowait(None)
    return items + [item async for few in audio for item in few], lags


async def test_what_waits_is_bounded_and_the_rest_one_gap_after_the_other():
    source, live = Microphone(), Live(2)
    items, lags = await behind(source, live, 7)
    assert max(lags) <= 2
    gaps = [item for item in items if isinstance(item, Gap)]
    assert {gap.reason for gap in gaps} == {"behind"}
    assert all(a.end == b.start for a, b in pairwise(items))
    assert items[-1].end == source.position[0]
    lost = sum(gap.end - gap.start for gap in gaps)
    assert lost == pytest.approx(live.lost * 16_000)
    assert lost >= 5 * 16_000


async def test_transcripts_are_given_up_first_then_estimates_then_audio():
    live = Live(4)
    states = []
    for lag in (0.0, 1.1, 2.1, 3.9, 0.5):
        live.lag = lag
        states.append((live.transcribes, live.estimates))
    assert states == [(True, True), (False, True), (False, False), (False, False), (True, True)]


def test_it_complains_once_for_each_thing_given_up():
    live = Live(4)
    told = []
    for lag in (0.0, 1.1, 1.2, 2.1, 3.0, 1.5, 2.2, 0.0, 1.1):
        live.lag = lag
        told.append(live.complaint())
    said = [text for text in told if text]
    assert said[0] == "1.1 s of audio behind: no transcription until it has caught up"
    assert [bool(text) for text in told] == [
        False,
        True,
        False,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


async def test_a_pause_is_told_as_a_gap_and_nothing_in_it_is_heard():
    source, live = Microphone(), Live(5)
    audio = aiter(LiveAudio(source, VirtualClock(), live, never()))
    source.speak(0.1)
    items = await anext(audio)
    live.paused = True
    source.speak(1.0, level=0.9)
    await settle()
    assert live.levels[0] == 0
    items += await anext(audio)  # ends what was being said
    live.paused = False
    source.speak(0.1)
    source.items.put_nowait(None)
    items += [item async for few in audio for item in few]
    assert [(type(i), i.start, i.end) for i in items] == [
        (AudioChunk, 0, 1600),
        (Gap, 1600, 3200),
        (Gap, 3200, 17_600),
        (AudioChunk, 17_600, 19_200),
    ]
    assert {i.reason for i in items if isinstance(i, Gap)} == {"paused"}
    assert live.lost == 0


async def test_a_pause_that_lasts_to_the_end_is_told():
    source, live = Microphone(), Live(5)
    live.paused = True
    source.speak(1.0)
    source.items.put_nowait(None)
    items = [item async for few in LiveAudio(source, VirtualClock(), live, never()) for item in few]
    assert [(i.start, i.end) for i in items] == [(0, 1600), (1600, 16_000)]


async def test_a_source_that_breaks_off_is_heard_to_its_end_first():
    source = Microphone()
    source.speak(0.2)
    source.items.put_nowait(SourceError("cut off"))
    audio = aiter(LiveAudio(source, VirtualClock(), Live(5), never()))
    assert [item.start for item in await anext(audio)] == [0, 1600]
    with pytest.raises(SourceError, match="cut off"):
        await anext(audio)


async def test_it_ends_after_its_duration():
    source, live = Microphone(), Live(5, duration=0.05)
    source.speak(0.1)
    assert (
        len(
            [item async for few in LiveAudio(source, VirtualClock(), live, never()) for item in few]
        )
        == 1
    )


async def test_a_stop_ends_it_at_once():
    source, live, stop = Microphone(), Live(5), never()
    audio = aiter(LiveAudio(source, VirtualClock(), live, stop))
    source.speak(0.1)
    await anext(audio)
    coming = asyncio.ensure_future(anext(audio))
    await settle()
    stop.set_result("interrupted")
    with pytest.raises(StopAsyncIteration):
        await coming


async def test_a_mark_keeps_the_moment():
    source, live = Microphone(), Live(5)
    source.speak(0.5)
    source.items.put_nowait(None)
    _ = [item async for few in LiveAudio(source, VirtualClock(), live, never()) for item in few]
    live.mark("hung up")
    assert live.marks.get_nowait() == (0.5, "hung up")
