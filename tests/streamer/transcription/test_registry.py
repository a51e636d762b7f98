"""The choice among the backends, and what is said when it is not the best one."""

import numpy as np
import pytest

from streamer.errors import UserError
from streamer.settings.tree import Asr, Engine
from streamer.transcription.registry import BACKENDS, make_transcriber

CPU = Engine(device="cpu")


def test_every_backend_of_the_settings_is_there():
    choices = set(Asr.model_fields["backend"].annotation.__args__)
    assert choices == {"auto", *BACKENDS}


def test_auto_takes_whisper_when_there_is_a_model(tiny_whisper):
    transcriber, notice = make_transcriber(Asr(model=str(tiny_whisper)), CPU)
    assert transcriber.name == "faster-whisper tiny-random.en int8"
    assert notice == ""


def test_auto_falls_back_to_pocketsphinx_and_says_so(no_network):
    transcriber, notice = make_transcriber(Asr(), CPU)
    assert transcriber.name == "pocketsphinx en-us"
    assert "pocketsphinx" in notice
    assert "base.en" in notice
    assert "\n" not in notice


def test_auto_without_any_recogniser_for_the_language_goes_without_text(no_network):
    transcriber, notice = make_transcriber(Asr(model="base", language="de"), CPU)
    assert transcriber.name == "none"
    assert "no transcription" in notice
    assert "base" in notice
    assert "English only" in notice


def test_a_backend_asked_for_by_name_is_not_replaced(no_network):
    with pytest.raises(UserError, match="cannot be reached"):
        make_transcriber(Asr(backend="faster-whisper"), CPU)
    with pytest.raises(UserError, match="English only"):
        make_transcriber(Asr(backend="pocketsphinx", language="de"), CPU)


def test_none_skips_every_utterance():
    transcriber, notice = make_transcriber(Asr(backend="none"), CPU)
    assert (transcriber.name, notice) == ("none", "")
    transcript = transcriber.transcribe(np.ones(16000, np.float32), language="en")
    assert (transcript.status, transcript.text) == ("skipped", "")


def test_without_pocketsphinx_there_is_still_no_crash(no_network, monkeypatch):
    monkeypatch.setattr("streamer.transcription.sphinx.find_spec", lambda _: None)
    transcriber, notice = make_transcriber(Asr(), CPU)
    assert transcriber.name == "none"
    assert "pip install pocketsphinx" in notice
