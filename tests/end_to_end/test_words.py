"""The pipeline with a real recogniser on the sample call: the same words however the audio arrives."""

import asyncio
import dataclasses

import pytest
import soxr

from streamer.settings import load as configuration
from streamer.settings.shipped import sample_call
from streamer.transcription import Transcript, Word
from streamer.transcription.registry import make_transcriber
from tests.end_to_end.conversations import (
    Played,
    check_promises,
    comparable,
    converse,
    engine_for,
    two_speakers,
)
from tools.evaluate.partials import revised
from tools.evaluate.transcription import words_of


@pytest.fixture(scope="module")
def call():
    """The first 13 seconds of the sample call, float32 [n, 2]."""
    import soundfile

    samples, rate = soundfile.read(str(sample_call()), dtype="float32")
    return soxr.resample(samples[: 13 * rate], rate, 16000)


def heard(bundle, model, call, sizes, **more):
    values = {
        "asr.model": model,
        "asr.words": True,
        "asr.partial": True,
        "segmentation.endpoint": "adaptive",
    } | more
    settings = configuration.load(environment={}, overrides=values)
    transcriber, _ = make_transcriber(settings.asr, settings.usable_cores)
    overrides = {key.replace(".", "__"): value for key, value in values.items()}
    overrides["segmentation__detector"] = "gated"
    with engine_for(bundle, transcriber, **overrides) as engine:
        return asyncio.run(converse(Played(call, sizes), engine))[1]


@pytest.fixture(scope="module")
def reference(random_bundle, shipped_words, call):
    return heard(random_bundle, shipped_words, call, (1 << 30,))


def test_the_call_is_readable(reference):
    check_promises(reference)
    text = " ".join(e.text or "" for e in reference if e.type == "utterance").lower()
    for said in ("how can i help you", "three weeks", "sorry to hear that", "ridiculous"):
        assert said in text


def test_the_first_words_and_what_was_doubtful_are_read_again(reference):
    first, *others = [e.text or "" for e in reference if e.type == "utterance"]
    assert "parcel service" in first
    assert "tell you twice" in " ".join(others)


def test_words_lie_within_their_utterance_and_make_its_text(reference):
    for event in (e for e in reference if e.type == "utterance" and e.text):
        assert " ".join(word.word for word in event.words) == event.text
        for word in event.words:
            assert event.start <= word.start <= word.end <= event.end + 1e-6
            assert 0 < word.confidence <= 1


def test_words_are_shown_while_they_are_spoken(reference):
    texts = {e.utterance: e.text for e in reference if e.type == "utterance"}
    updates = [e for e in reference if e.type == "speech_update" and e.text]
    assert len({e.utterance for e in updates}) > len(texts) / 2
    right = sum(not revised(words_of(e.text), words_of(texts[e.utterance])) for e in updates)
    assert right >= 0.7 * len(updates)


def test_audio_that_comes_later_changes_no_word_shown(
    random_bundle, shipped_words, call, reference
):
    end = 6.0
    silent = call.copy()
    silent[round(end * 16_000) :] = 0
    events = heard(random_bundle, shipped_words, silent, (1600,))

    def shown(events):
        return [
            (e.utterance, e.end, e.text)
            for e in events
            if e.type == "speech_update" and e.end <= end
        ]

    assert shown(events) == shown(reference)


@pytest.mark.parametrize("sizes", [(1600,), (777, 16001)])
def test_chunks_and_threads_change_nothing(random_bundle, shipped_words, call, reference, sizes):
    events = heard(random_bundle, shipped_words, call, sizes, cores=2 * len(sizes))
    assert comparable(events) == comparable(reference)


class Polyglot:
    """Understands the first utterance as English, the others as German."""

    name = "polyglot"

    def __init__(self):
        self.languages = iter(["en", "de", "de", "de"])

    def transcribe(self, samples, *, language):
        assert language is None
        return Transcript(
            "guten Morgen", "ok", next(self.languages), 0.9, (Word("guten", 0, 0.2, 0.9),)
        )

    def close(self):
        pass


def test_a_language_that_the_model_cannot_read_is_told_and_not_judged(random_bundle):
    with engine_for(random_bundle, Polyglot(), asr__language="auto") as engine:
        engine.runtime.bundle = dataclasses.replace(engine.bundle, languages=("en",))
        _, events = asyncio.run(converse(Played(two_speakers()), engine))
    said = [e for e in events if e.type == "utterance"]
    assert [e.language for e in said] == ["en", "de", "de", "de"]
    assert [e.modalities for e in said] == [["audio", "text"], *[["audio"]] * 3]
    assert {e.text for e in said} == {"guten Morgen"}
    assert said[1].words[0].start == pytest.approx(said[1].start)
