"""Whisper on CTranslate2, from samples to words, on a model whose weights are random."""

import logging
import shutil
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer.errors import UserError
from streamer.settings.tree import Asr
from streamer.transcription import whisper
from streamer.transcription.whisper import LONGEST, WhisperTranscriber, _parts
from streamer.transcription.whisper_network import Hypothesis
from tests.whisper_model import WORDS, make_whisper

CORES = 2
LENIENT = {"NO_SPEECH": 1.0, "MIN_LOG_PROBABILITY": -10.0, "MAX_COMPRESSION": 20.0}


def voice(seconds=2.0, seed=0, volume=0.1):
    """Something of the loudness of a voice."""
    return (np.random.default_rng(seed).normal(size=int(seconds * 16000)) * volume).astype(
        np.float32
    )


@pytest.fixture(autouse=True)
def lenient_gates(monkeypatch):
    """Let pass what a network with random weights hears."""
    for name, value in LENIENT.items():
        monkeypatch.setattr(whisper, name, value)


@pytest.fixture(scope="module")
def make(tiny_whisper):
    def make(cores=CORES, **asr):
        return WhisperTranscriber(Asr(model=str(tiny_whisper), device="cpu", **asr), cores)

    return make


@pytest.fixture(scope="module")
def lenient(make):
    return make(cores=1)


@pytest.fixture(scope="module")
def multilingual(tmp_path_factory):
    directory = make_whisper(tmp_path_factory.mktemp("whisper") / "random", multilingual=True)
    return partial(Asr, model=str(directory))


def test_it_hears_words(lenient):
    transcript = lenient.transcribe(voice(), language="en")
    assert transcript.status == "ok"
    assert transcript.language == "en"
    assert 0 < transcript.confidence <= 1
    assert set(transcript.text.split()) <= set(WORDS)


def encoded(transcriber, monkeypatch):
    """Return the numbers of states that are encoded from now on."""
    lengths = []
    context = transcriber._network.context

    def told(encoding, *silence):
        lengths.append(len(encoding.states))
        return context(encoding, *silence)

    monkeypatch.setattr(transcriber._network, "context", told)
    return lengths


def steered(transcriber, samples, *, thorough=False, unwanted=lambda: False):
    return transcriber.transcribe_steered(
        samples, language="en", thorough=thorough, unwanted=unwanted
    )


def test_its_name_tells_model_and_arithmetic_but_no_path(lenient):
    assert lenient.name == "whisper tiny-random.en int8"


def test_the_same_audio_gives_the_same_text_whatever_came_before(make, lenient):
    audio = [voice(seconds, seed) for seed, seconds in enumerate((0.5, 2.0, 3.5))]
    first = [lenient.transcribe(samples, language="en") for samples in audio]
    again = [lenient.transcribe(samples, language="en") for samples in reversed(audio)]
    assert again[::-1] == first
    other = make(cores=6)
    assert [other.transcribe(samples, language="en").text for samples in audio] == [
        transcript.text for transcript in first
    ]


@pytest.mark.parametrize(
    ("gate", "limit", "reason"),
    [
        ("NO_SPEECH", 0.0, "no speech"),
        ("MIN_LOG_PROBABILITY", 0.0, "log probability"),
        ("MAX_WORDS_PER_SECOND", 1e-9, "words in"),
    ],
)
def test_each_gate_rejects_and_hides_the_text(make, caplog, monkeypatch, gate, limit, reason):
    caplog.set_level(logging.DEBUG)
    strict = make()
    monkeypatch.setattr(whisper, gate, limit)
    transcript = strict.transcribe(voice(), language="en")
    assert (transcript.status, transcript.text, transcript.words) == ("rejected", "", ())
    assert reason in transcript.reason
    assert not [word for word in WORDS if f" {word} " in caplog.text]


def test_text_that_compresses_too_well_is_doubted(make, monkeypatch):
    transcriber = make()
    monkeypatch.setattr(whisper, "MAX_COMPRESSION", 2.4)
    hypothesis = Hypothesis((), -0.1, 0.0)
    assert "compression ratio" in transcriber._doubt(hypothesis, "again and " * 12, 30.0)
    assert transcriber._doubt(hypothesis, "again and again", 30.0) == ""


def test_a_text_in_doubt_is_read_again_among_more_silence(make, monkeypatch):
    strict = make()
    monkeypatch.setattr(whisper, "MIN_LOG_PROBABILITY", 0.0)
    lengths = encoded(strict, monkeypatch)
    assert strict.transcribe(voice(), language="en").status == "rejected"
    assert lengths == [200, 500]


def test_on_demand_a_text_without_doubt_is_read_again_in_a_whole_window(make, monkeypatch):
    transcriber = make()
    monkeypatch.setattr(whisper, "SURE", -1000.0)
    lengths = encoded(transcriber, monkeypatch)
    samples = voice()
    once = transcriber.transcribe(samples, language="en")
    assert lengths == [200]
    twice = steered(transcriber, samples, thorough=True)
    assert lengths == [200, 200, 1500]
    assert twice.confidence >= once.confidence


def test_what_is_not_wanted_any_more_is_neither_read_nor_read_again(make, monkeypatch):
    strict = make()
    monkeypatch.setattr(whisper, "MIN_LOG_PROBABILITY", 0.0)
    lengths = encoded(strict, monkeypatch)
    assert steered(strict, voice(), unwanted=lambda: True).status == "skipped"
    assert lengths == []
    steered(strict, voice(), thorough=True, unwanted=iter((False, True)).__next__)
    assert lengths == [200]


def test_where_no_speech_is_found_nothing_is_read_again(make, monkeypatch):
    strict = make()
    monkeypatch.setattr(whisper, "NO_SPEECH", 0.0)
    monkeypatch.setattr(whisper, "SILENT", 0.0)
    lengths = encoded(strict, monkeypatch)
    assert "no speech" in steered(strict, voice(), thorough=True).reason
    assert lengths == [200]


def test_an_utterance_longer_than_whispers_window_is_heard_to_its_end(make):
    transcript = make(words=True).transcribe(voice(70.0), language="en")
    assert transcript.status == "ok"
    assert " ".join(word.text for word in transcript.words) == transcript.text
    assert transcript.words[-1].start > 50
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)


def test_long_audio_is_cut_where_it_is_quietest():
    samples = voice(70.0)
    samples[26 * 16000 : 27 * 16000] = 0
    parts = list(_parts(samples))
    assert len(parts[0][0]) == pytest.approx(26.05 * 16000)
    assert np.array_equal(np.concatenate([part for part, _ in parts]), samples)
    assert all(len(part) <= LONGEST for part, _ in parts)


def test_words_are_told_with_times_and_probabilities_if_wanted(make, lenient):
    assert lenient.transcribe(voice(), language="en").words == ()
    transcript = make(words=True).transcribe(voice(), language="en")
    assert " ".join(word.text for word in transcript.words) == transcript.text
    for word in transcript.words:
        assert 0 <= word.start <= word.end <= 2.0
        assert 0 < word.probability <= 1


def test_terms_to_expect_stand_before_the_text(make):
    transcriber = make(terms=("good morning",))
    plain = make()
    assert len(transcriber._tokens.prompt("en", ("good morning",))) > len(
        plain._tokens.prompt("en", ())
    )
    assert transcriber.transcribe(voice(), language="en").status == "ok"


@pytest.mark.parametrize("samples", [0, 1, 480, 1599])
def test_what_is_too_short_for_a_word_is_rejected_unheard(lenient, samples):
    transcript = lenient.transcribe(np.zeros(samples, np.float32), language="en")
    assert (transcript.status, transcript.text) == ("rejected", "")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fill=st.sampled_from([0.0, 1.0, -1.0, 1e30, np.inf, -np.inf, np.nan]),
    spoilt=st.integers(0, 9000),
    seconds=st.sampled_from([0.05, 0.1, 0.5]),
)
def test_bad_audio_never_raises(lenient, fill, spoilt, seconds):
    samples = voice(seconds)
    samples[:spoilt] = fill
    transcript = lenient.transcribe(samples, language="en")
    assert transcript.status in ("ok", "rejected", "failed")
    assert bool(transcript.text) == (transcript.status == "ok")
    if len(samples) >= 1600 and not np.isfinite(samples).all():
        assert transcript.status == "failed"


def test_a_failure_of_the_library_is_told_not_raised(make, monkeypatch):
    transcriber = make()
    monkeypatch.setattr(transcriber._network, "encode", lambda _: 1 / 0)
    transcript = transcriber.transcribe(voice(), language="en")
    assert (transcript.status, transcript.reason) == ("failed", "whisper: ZeroDivisionError")


def test_an_english_model_refuses_other_languages(tiny_whisper, lenient, tmp_path):
    with pytest.raises(UserError, match=r"English only.*asr\.language"):
        WhisperTranscriber(Asr(model=str(tiny_whisper), language="de"), CORES)
    disguised = tmp_path / "without-the-ending"
    shutil.copytree(tiny_whisper, disguised)
    with pytest.raises(UserError, match="English only"):
        WhisperTranscriber(Asr(model=str(disguised), language="de"), CORES)
    assert lenient.transcribe(voice(), language="de").status == "skipped"


def test_english_only_is_known_before_anything_is_downloaded(hub):
    with pytest.raises(UserError, match="English only"):
        WhisperTranscriber(Asr(model="base.en", language="de"), CORES)
    assert hub.requests == []


def test_a_multilingual_model_recognises_the_language(multilingual):
    transcriber = WhisperTranscriber(multilingual(language="auto"), CORES)
    heard = transcriber.transcribe(voice(), language=None)
    assert heard.language in {"en", "de", "es", "fr", "it", "pl", "ur", "am", "hi", "zh"}
    assert transcriber.transcribe(voice(), language="de").language == "de"


def test_a_language_that_does_not_exist_is_an_error(multilingual):
    with pytest.raises(UserError, match="xx"):
        WhisperTranscriber(multilingual(language="xx"), CORES)


def test_beams_may_be_as_wide_as_configured(make):
    assert make(beam_size=3).transcribe(voice(), language="en").status == "ok"


def test_a_damaged_model_is_one_line(tiny_whisper, tmp_path):
    damaged = tmp_path / "damaged.en"
    shutil.copytree(tiny_whisper, damaged)
    weights = damaged / "model.bin"
    weights.write_bytes(weights.read_bytes()[:50_000])
    with pytest.raises(UserError, match="cannot be loaded") as error:
        WhisperTranscriber(Asr(model=str(damaged)), CORES)
    assert "\n" not in str(error.value)


def test_a_gpu_that_is_not_there_is_one_line(tiny_whisper):
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU here")
    with pytest.raises(UserError, match=r"asr\.device"):
        WhisperTranscriber(Asr(model=str(tiny_whisper), device="cuda"), CORES)


def test_a_gpu_that_does_not_work_is_replaced_unless_it_was_asked_for(
    tiny_whisper, monkeypatch, caplog
):
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    transcriber = WhisperTranscriber(Asr(model=str(tiny_whisper), device="auto"), CORES)
    assert transcriber.name.endswith("int8")
    assert "the CPU stands in" in caplog.text
    with pytest.raises(UserError, match="cannot be loaded"):
        WhisperTranscriber(Asr(model=str(tiny_whisper), device="cuda"), CORES)
