"""The choice among the backends, and what is said when it is not the best one."""

import numpy as np
import pytest

from streamer.errors import UserError
from streamer.settings.tree import Asr
from streamer.transcription.registry import make_transcriber

CORES = 2


def test_auto_takes_whisper_when_there_is_a_model(tiny_whisper):
    transcriber, notice = make_transcriber(Asr(model=str(tiny_whisper)), CORES)
    assert transcriber.name == "whisper tiny-random.en int8"
    assert notice == ""


def test_auto_takes_the_model_that_comes_with_the_extra(shipped_words):
    transcriber, notice = make_transcriber(Asr(), CORES)
    assert "words" not in notice
    assert transcriber.name.startswith("whisper ")


def test_auto_without_a_model_says_so_and_goes_without_text(no_network, no_packages):
    transcriber, notice = make_transcriber(Asr(), CORES)
    assert transcriber.name == "none"
    assert "audio alone" in notice
    assert "tiny.en" in notice
    assert "streamer-emotion[words]" in notice
    assert "\n" not in notice


def test_auto_without_a_model_for_the_language_goes_without_text(no_network, no_packages):
    transcriber, notice = make_transcriber(Asr(model="base.en", language="de"), CORES)
    assert transcriber.name == "none"
    assert "English only" in notice


def test_a_backend_asked_for_by_name_is_not_replaced(no_network):
    with pytest.raises(UserError, match="cannot be reached"):
        make_transcriber(Asr(backend="whisper", model="base.en"), CORES)


def test_none_skips_every_utterance():
    transcriber, notice = make_transcriber(Asr(backend="none"), CORES)
    assert (transcriber.name, notice) == ("none", "")
    transcript = transcriber.transcribe(np.ones(16000, np.float32), language="en")
    assert (transcript.status, transcript.text) == ("skipped", "")
