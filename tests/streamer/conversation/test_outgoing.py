"""Privacy modes are honoured in everything that leaves, and events carry what is known."""

from dataclasses import replace

import numpy as np
import pytest

from streamer.audio import Gap
from streamer.conversation.outgoing import Outgoing, Privacy
from streamer.conversation.statistics import Statistics
from streamer.errors import UserError
from streamer.events import Acoustics, Latency
from streamer.settings import tree
from streamer.sources import SourceInfo
from streamer.speech import SoundHeard, SpeechEnded, SpeechStarted, SpeechUpdate
from streamer.transcription import Transcript, Word
from streamer_models.classifier import Prediction

INFO = SourceInfo("call.wav", ("agent", "customer"), live=False, session="s")
LATENCY = Latency(endpoint=500, transcription=0, analysis=1, total=501)


class Bus:
    """Keeps the events."""

    session = "s"
    errors = 0

    def __init__(self):
        self.events = []

    async def emit(self, kind, **fields):
        self.events.append((kind.model_fields["type"].default, fields))

    @property
    def types(self):
        return [kind for kind, _ in self.events]

    def only(self, kind):
        (fields,) = [fields for name, fields in self.events if name == kind]
        return fields


def outgoing(bus, **privacy):
    given = Privacy(tree.Privacy(**privacy), INFO)
    return Outgoing(bus, INFO, given, Statistics(()), mood_half_life=30)


def ended(channel=0, start=16_000, end=48_000):
    samples = np.zeros(end - start, np.float32)
    acoustics = Acoustics(loudness_db=-20.0)
    return SpeechEnded(channel, start, end, end, end + 8000, samples, None, acoustics)


def prediction(dimensions=None):
    names = ("angry", "happy", "sad", "neutral")
    return Prediction(
        probabilities=dict(zip(names, (0.7, 0.1, 0.1, 0.1), strict=True)),
        label="angry",
        confidence=0.7,
        abstained=False,
        modalities=("audio",),
        dimensions=dimensions,
    )


async def say(out, channel=0, transcript=None, given=None, start=16_000):
    """One utterance from start to end."""
    out.overlap(SpeechStarted(channel, start, start + 4000))
    await out.speech_started(SpeechStarted(channel, start, start + 4000))
    await out.speech_update(SpeechUpdate(channel, start, start + 8000, None), prediction())
    speech = ended(channel, start, start + 32_000)
    await out.utterance(
        speech,
        3,
        given or prediction(),
        transcript or Transcript("", "skipped"),
        LATENCY,
        out.overlap(speech),
    )


async def test_reports_an_utterance_from_start_to_mood():
    bus = Bus()
    out = outgoing(bus)
    words = (Word("hello", 0.5, 0.9, 0.93219), Word("there", 1.0, 1.2, 0.5))
    await say(out, transcript=Transcript("hello there", "ok", "en", words=words))
    assert bus.types == ["speech_started", "speech_update", "utterance", "mood"]
    said = bus.only("utterance")
    assert said["utterance"] == "s:agent:16000"
    assert (said["start"], said["end"], said["turn"]) == (1.0, 3.0, 3)
    assert (said["emotion"], said["confidence"], said["abstained"]) == ("angry", 0.7, False)
    assert (said["text"], said["text_status"], said["language"]) == ("hello there", "ok", "en")
    assert [(w.word, w.start, w.confidence) for w in said["words"]] == [
        ("hello", 1.5, 0.9322),
        ("there", 2.0, 0.5),
    ]
    assert said["acoustics"].words_per_minute == 60
    assert {fields.get("utterance") for kind, fields in bus.events if kind != "mood"} == {
        "s:agent:16000"
    }
    assert out.utterances == 1


async def test_reports_the_prediction_set_and_the_dimensions_that_the_model_estimates():
    bus = Bus()
    given = replace(
        prediction(), likely=("angry", "sad"), dimensions={"valence": -0.61234, "arousal": 0.5}
    )
    await say(outgoing(bus), given=given)
    said = bus.only("utterance")
    assert said["likely"] == ["angry", "sad"]
    assert (said["dimensions"].valence, said["dimensions"].arousal) == (-0.6123, 0.5)


async def test_leaves_out_what_the_model_does_not_estimate():
    bus = Bus()
    await say(outgoing(bus), given=replace(prediction(), dimensions={"valence": 0.2}))
    assert (bus.only("utterance")["likely"], bus.only("utterance")["dimensions"]) == (None, None)


async def test_an_utterance_that_could_not_be_classified_has_no_mood():
    bus = Bus()
    await outgoing(bus).utterance(ended(), 0, None, Transcript("", "skipped"), LATENCY, 0.0)
    assert bus.types == ["utterance"]
    said = bus.only("utterance")
    assert (said["emotion"], said["probabilities"], said["abstained"]) == (None, {}, True)


@pytest.mark.parametrize(
    ("estimated", "reported"),
    [
        ({"valence": -0.43217, "arousal": 0.5}, {"valence": -0.4322, "arousal": 0.5}),
        ({"valence": -0.4}, None),
        (None, None),
    ],
)
async def test_reports_dimensions_that_the_model_estimates(estimated, reported):
    bus = Bus()
    await say(outgoing(bus), given=prediction(estimated))
    dimensions = bus.only("utterance")["dimensions"]
    assert (dimensions and dimensions.model_dump()) == reported


async def test_withholds_text_words_and_nothing_else():
    bus = Bus()
    word = (Word("hello", 0.5, 0.9, 0.9),)
    await say(outgoing(bus, text=False), transcript=Transcript("hello", "ok", "en", words=word))
    said = bus.only("utterance")
    assert (said["text"], said["words"], said["text_status"]) == (None, None, "withheld")
    assert said["emotion"] == "angry"


@pytest.mark.parametrize("status", ["rejected", "failed", "skipped"])
async def test_text_that_is_missing_is_never_called_withheld(status):
    bus = Bus()
    await say(outgoing(bus, text=False), transcript=Transcript("", status))
    assert bus.only("utterance")["text_status"] == status


async def test_says_nothing_about_the_speech_of_a_context_channel():
    bus = Bus()
    out = outgoing(bus, channels={"agent": "context"})
    await say(out, channel=0)
    assert bus.events == []
    assert out.utterances == 0
    assert not out.wants_updates(0)
    await say(out, channel=1, start=20_000)
    assert bus.only("utterance")["overlap"] == 0  # nor that it spoke at the same time


async def test_reports_sounds_but_not_those_of_a_context_channel():
    bus = Bus()
    out = outgoing(bus, channels={"agent": "context"})
    for channel in (0, 1):
        await out.sound(SoundHeard(channel, 16_000, 32_000, 48_000, "laugh", 0.93456))
    assert bus.only("sound") == {
        "channel": "customer",
        "start": 1.0,
        "end": 2.0,
        "sound": "laugh",
        "confidence": 0.9346,
    }


async def test_reports_how_long_others_spoke_at_the_same_time():
    bus = Bus()
    out = outgoing(bus)
    out.overlap(SpeechStarted(1, 32_000, 36_000))
    await say(out, channel=0)
    assert bus.only("utterance")["overlap"] == pytest.approx(1.0)


async def test_a_gap_is_reported_on_every_channel_even_a_protected_one():
    bus = Bus()
    out = outgoing(bus, channels={"agent": "context"})
    await out.gap(Gap(0, 16_000, 24_000, "unplugged"))
    gap = bus.only("gap")
    assert (gap["channel"], gap["start"], gap["end"]) == ("agent", 1.0, 1.5)
    assert out.gaps == 1


async def test_the_session_ends_with_a_summary_and_its_counts():
    bus = Bus()
    out = outgoing(bus)
    await say(out)
    await out.session_ended(12.5, "finished")
    assert bus.types[-2:] == ["summary", "session_ended"]
    end = bus.only("session_ended")
    assert (end["duration"], end["utterances"], end["gaps"]) == (12.5, 1, 0)


def test_privacy_of_a_channel_that_is_not_there_is_an_error():
    message = "call.wav: privacy.channels says boss: exclude, but the channels are agent, customer"
    with pytest.raises(UserError, match=message):
        Privacy(tree.Privacy(channels={"boss": "exclude"}), INFO)
    Privacy(tree.Privacy(channels={"boss": "analyse"}), INFO)


def test_an_excluded_channel_is_not_even_analysed():
    privacy = Privacy(tree.Privacy(channels={"agent": "exclude", "customer": "context"}), INFO)
    assert [privacy.analyses(channel) for channel in (0, 1)] == [False, True]
    assert [privacy.reports(channel) for channel in (0, 1)] == [False, False]


@pytest.mark.parametrize(
    ("privacy", "shown"),
    [({}, "where is"), ({"text": False}, None), ({"channels": {"agent": "context"}}, "nothing")],
)
async def test_words_of_unfinished_utterances_keep_to_the_privacy_modes(privacy, shown):
    bus = Bus()
    out = outgoing(bus, **privacy)
    await out.speech_update(SpeechUpdate(0, 16_000, 24_000, None), prediction(), "where is")
    assert [fields["text"] for _, fields in bus.events] == ([] if shown == "nothing" else [shown])


async def test_an_update_without_words_says_so():
    bus = Bus()
    await outgoing(bus).speech_update(SpeechUpdate(0, 16_000, 24_000, None), prediction())
    assert bus.only("speech_update")["text"] is None


def test_text_is_reported_where_speech_and_text_are():
    privacy = Privacy(tree.Privacy(channels={"agent": "context"}), INFO)
    assert [privacy.reports_text(channel) for channel in (0, 1)] == [False, True]
    assert not Privacy(tree.Privacy(text=False), INFO).reports_text(1)
