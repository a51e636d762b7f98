"""Speech events become events about emotions: in order, with text in the context of what follows."""

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest

from streamer.audio import Gap
from streamer.clock import Stopwatch, VirtualClock, WallClock
from streamer.control import Control
from streamer.conversation.conversation import Conversation
from streamer.conversation.jobs import Job
from streamer.conversation.load import LoadPolicy
from streamer.speech import SpeechEnded, SpeechStarted, SpeechUpdate
from streamer.transcription import Transcript
from streamer.transcription.ahead import EmbeddedTranscript, PendingTranscript, Transcripts


class Turns:
    """Notes what is asked of the context; predictions are the names of what was classified."""

    def __init__(self):
        self.log = []
        self.delays = {}
        self.fails = set()
        self.texts = {}

    def add(self, speaker, audio, span, name=None):
        self.log.append(f"add {audio}")
        self.texts[audio] = ""
        return len(self.texts) - 1

    def classify(self, number):
        name = list(self.texts)[number]
        return self._later(f"{name}+{self.texts[name]}" if self.texts[name] else name)

    def classify_unfinished(self, speaker, audio, span, name=None):
        return self._later(audio)

    async def add_text(self, number, text):
        if text.transcript.status != "ok":
            return False
        self.texts[list(self.texts)[number]] = text.transcript.text
        return True

    def _later(self, name):
        self.log.append(f"classify {name}")

        async def predict():
            await asyncio.sleep(self.delays.get(name, 0))
            if name in self.fails:
                raise ValueError("not a number")
            return name

        return asyncio.ensure_future(predict())


class Outgoing:
    """Notes what leaves."""

    def __init__(self):
        self.said = []
        self.latencies = []

    def wants_updates(self, channel):
        return channel != 9

    def overlap(self, speech):
        return 0.0

    async def speech_started(self, started):
        self.said.append("started")

    async def speech_update(self, speech, prediction, text):
        self.said.append(f"update {prediction}{text and ': '}{text}")

    async def utterance(self, ended, turn, prediction, transcript, latency, overlap):
        self.latencies.append(latency)
        self.said.append(f"utterance {turn}: {prediction} {transcript.status}")

    async def gap(self, gap):
        self.said.append("gap")

    async def error(self, part, message):
        self.said.append(f"error {part}: {message}")


@pytest.fixture
def turns():
    return Turns()


@pytest.fixture
def outgoing():
    return Outgoing()


def conversation(turns, outgoing, *, clock=None, policy=None):
    clock = clock or VirtualClock()
    transcripts = Transcripts(None, clock, Control(), ahead=False, live=False)
    return Conversation(turns, transcripts, outgoing, policy or LoadPolicy(), clock)


def update(name, channel=0, draft=None):
    return Job(SpeechUpdate(channel, 0, 8000, name), Stopwatch(), draft)


def ended(name, channel=0, transcript=None, spoken=None):
    samples = np.zeros(16_000, np.float32)
    event = SpeechEnded(channel, 0, 16_000, 16_000, 24_000, samples, name)
    return Job(event, Stopwatch(), transcript, spoken)


def transcript(text="words", status="ok", busy_ms=40.0):
    """One that is done."""
    work = Future()
    work.set_result(EmbeddedTranscript(Transcript(text, status, reason="why"), None, busy_ms))
    return PendingTranscript(work)


async def live(talk, *jobs):
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for job in jobs:
            await talk.take_live(job, group)


async def test_a_replay_reports_in_the_order_of_its_jobs(turns, outgoing):
    turns.delays = {"a1": 0.02}
    talk = conversation(turns, outgoing)
    started = Job(SpeechStarted(0, 0, 4000), Stopwatch())
    await talk.take(
        [started, update("a1"), update("a2"), ended("a"), Job(Gap(0, 0, 9, "x"), Stopwatch())]
    )
    assert outgoing.said == [
        "started",
        "update a1",
        "update a2",
        "update a",
        "utterance 0: a skipped",
        "gap",
    ]
    assert turns.log == ["classify a1", "classify a2", "add a", "classify a"]


async def test_classifies_again_with_text_before_what_follows(turns, outgoing):
    talk = conversation(turns, outgoing)
    await talk.take([update("a1"), ended("a", transcript=transcript()), update("b1"), ended("b")])
    assert turns.log == [
        *("classify a1", "add a", "classify a", "classify a+words"),
        *("classify b1", "add b", "classify b"),
    ]
    assert outgoing.said[:3] == ["update a1", "update a", "utterance 0: a+words ok"]


async def test_makes_no_updates_that_are_not_reported(turns, outgoing):
    await conversation(turns, outgoing).take([update("secret", channel=9)])
    assert turns.log == []


async def test_an_utterance_that_cannot_be_classified_is_still_reported(turns, outgoing):
    turns.fails = {"a"}
    await conversation(turns, outgoing).take([ended("a", transcript=transcript()), ended("b")])
    assert outgoing.said == [
        "error analysis: an utterance could not be classified: not a number",
        "utterance 0: None skipped",
        "update b",
        "utterance 1: b skipped",
    ]


async def test_an_update_that_cannot_be_classified_is_left_out(turns, outgoing):
    turns.fails = {"a1"}
    await conversation(turns, outgoing).take([update("a1"), ended("a")])
    assert outgoing.said[0] == "error analysis: not a number"
    assert outgoing.said[-1] == "utterance 0: a skipped"


async def test_keeps_what_the_audio_says_if_the_text_fails(turns, outgoing):
    turns.fails = {"a+words"}
    await conversation(turns, outgoing).take([ended("a", transcript=transcript())])
    assert outgoing.said[-1] == "utterance 0: a ok"


async def test_a_transcriber_that_fails_is_reported(turns, outgoing):
    job = ended("a", transcript=transcript("", "failed"))
    await conversation(turns, outgoing).take([job])
    assert outgoing.said == ["update a", "error transcription: why", "utterance 0: a failed"]


async def test_live_utterances_do_not_wait_for_each_other(turns, outgoing):
    turns.delays = {"slow": 0.05}
    talk = conversation(turns, outgoing, clock=WallClock())
    await live(talk, ended("slow", channel=0), ended("fast", channel=1))
    assert outgoing.said[-1] == "utterance 0: slow skipped"
    assert "utterance 1: fast skipped" in outgoing.said[:2]


async def test_live_updates_come_in_order_and_before_their_utterance(turns, outgoing):
    turns.delays = {"a1": 0.05, "a2": 0.01}
    talk = conversation(turns, outgoing, clock=WallClock())
    await live(talk, update("a1"), update("a2"), ended("a"))
    assert outgoing.said == ["update a1", "update a2", "update a", "utterance 0: a skipped"]


async def test_a_late_transcript_is_dropped_and_reported_once(turns, outgoing):
    clock = WallClock()
    talk = conversation(turns, outgoing, clock=clock, policy=LoadPolicy(0.05))
    spoken = clock.seconds() - 1
    waiting = [PendingTranscript(Future()) for _ in range(2)]
    await live(talk, *(ended(f"{n}", n, waiting[n], spoken) for n in range(2)))
    assert [line for line in outgoing.said if line.startswith("error")] == [
        "error live: transcription is behind: the oldest waiting utterances go without text"
    ]
    assert [line for line in outgoing.said if "utterance" in line and "error" not in line] == [
        "utterance 0: 0 skipped",
        "utterance 1: 1 skipped",
    ]


async def test_latency_of_a_replay_is_the_time_of_the_work(turns, outgoing):
    await conversation(turns, outgoing).take([ended("a", transcript=transcript(busy_ms=40.0))])
    (latency,) = outgoing.latencies
    assert (latency.endpoint, latency.transcription) == (500, 40)
    assert latency.total == pytest.approx(540 + latency.analysis)


async def test_latency_of_live_speech_counts_from_when_it_was_spoken(turns, outgoing):
    clock = WallClock()
    talk = conversation(turns, outgoing, clock=clock)
    await live(talk, ended("a", transcript=transcript(), spoken=clock.seconds() - 2))
    (latency,) = outgoing.latencies
    assert 2000 <= latency.total < 12_000
    assert latency.transcription == 0  # it was there at the endpoint


@pytest.mark.parametrize("how", ["replayed", "live"])
async def test_updates_hold_the_words_that_two_drafts_agree_on(turns, outgoing, how):
    talk = conversation(turns, outgoing)
    jobs = [
        update("a1", draft=transcript("where is")),
        update("a2", draft=transcript("where is my car")),
        update("a3"),
        update("a4", draft=transcript("", "rejected")),
        update("a5", draft=transcript("where is my parcel")),
        ended("a"),
    ]
    if how == "live":
        await live(talk, *jobs)
    else:
        await talk.take(jobs)
    assert [said for said in outgoing.said if said.startswith("update")] == [
        "update a1",
        "update a2: where is",
        "update a3: where is",
        "update a4: where is",
        "update a5: where is my",
        "update a: where is my",
    ]
