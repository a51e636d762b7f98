"""Every live system of the zoo analyses a recording, from a bundle, like the shipped model."""

import numpy as np
import pytest
import torch

import streamer
from streamer_models import registry
from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration
from streamer_models.tokenizer import TextTokenizer
from tests.audio_files import write_audio
from tests.end_to_end.conversations import two_speakers
from tests.models.tiny_bundle import TEXT, tokenizer_definition
from tests.models.zoo.tiny import VIDEO, make_system

CHANGED = 6.5
"""Seconds from which two recordings differ; two utterances have ended before, long enough to be known."""


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    return write_audio(tmp_path_factory.mktemp("call") / "call.wav", two_speakers(), 16_000)


@pytest.fixture(scope="module")
def changed_later(tmp_path_factory):
    signal, at = two_speakers(), round(CHANGED * 16_000)
    signal[at:] = two_speakers(seed=9)[at:]
    return write_audio(tmp_path_factory.mktemp("other") / "call.wav", signal, 16_000)


def saved(name, directory, model=None):
    model = model or make_system(name)
    tokenizer = (
        None if model.text is None else TextTokenizer(tokenizer_definition(), TEXT.max_tokens)
    )
    Bundle(name, "1", model, Calibration(), 0.3, tokenizer, "A card.").save(directory)
    return directory


async def utterances(call, bundle, **overrides):
    return [e for e in await analyzed(call, bundle, **overrides) if e.type == "utterance"]


async def analyzed(call, bundle, **overrides):
    settings = streamer.load_settings(
        environment={},
        overrides={"emotion.bundle": str(bundle), "asr.backend": "none", **overrides},
    )
    return [event async for event in streamer.analyze(call, settings=settings)]


@pytest.mark.parametrize("name", registry.SYSTEMS.names())
async def test_classifies_every_utterance_whatever_comes_later(name, call, changed_later, tmp_path):
    bundle = saved(name, tmp_path / "b")
    said, other = [await utterances(each, bundle) for each in (call, changed_later)]
    assert len(said) == 4
    for event in said:
        assert event.modalities == ["audio"]
        assert sum(event.probabilities.values()) == pytest.approx(1, abs=1e-3)
    assert said[1].end < CHANGED - 1.5
    for event, same in zip(said[:2], other[:2], strict=True):
        assert (event.start, event.end, event.channel) == (same.start, same.end, same.channel)
        assert event.probabilities == same.probabilities
    assert said[2].probabilities != other[2].probabilities


async def test_video_features_count_where_they_belong_to_an_utterance(call, tmp_path):
    bundle = saved("yoon2020", tmp_path / "b")
    without = await utterances(call, bundle)
    times = np.arange(0, without[0].end, 0.04)
    features = torch.randn(len(times), VIDEO, generator=torch.Generator().manual_seed(0)).numpy()
    np.savez(tmp_path / "v.npz", times=times, features=features)
    seen = await utterances(call, bundle, **{"emotion.video": str(tmp_path / "v.npz")})
    assert seen[0].modalities == ["audio", "video"]
    assert seen[0].probabilities != without[0].probabilities
    assert seen[-1].modalities == ["audio"]
    assert seen[-1].probabilities == without[-1].probabilities


async def test_an_utterance_that_is_no_speech_is_a_sound_before_it_is_classified(call, tmp_path):
    model = make_system("hsu2021")
    with torch.no_grad():
        model.sound_classifier.bias.copy_(torch.tensor([0.0, 9, 0, 0, 0]))
    bundle = saved("hsu2021", tmp_path / "b", model)
    events = await analyzed(call, bundle, **{"sounds.detect": False})
    ends = [event for event in events if event.type in ("sound", "utterance")]
    assert [event.type for event in ends] == ["sound", "utterance"] * (len(ends) // 2)
    for sound, said in zip(ends[::2], ends[1::2], strict=True):
        assert (sound.channel, sound.start, sound.end) == (said.channel, said.start, said.end)
        assert sound.sound == "laugh"
        assert sound.confidence > 0.9


async def test_dimensions_come_from_a_model_that_estimates_them(call, tmp_path):
    for said in await utterances(call, saved("atmaja2020", tmp_path / "b")):
        assert set(said.dimensions.model_dump()) == {"valence", "arousal"}


async def test_video_for_a_model_without_it_is_a_mistake_of_the_user(call, tmp_path):
    bundle = saved("gao2021", tmp_path / "b")
    np.savez(tmp_path / "v.npz", times=np.zeros(1), features=np.zeros((1, 2), np.float32))
    with pytest.raises(streamer.UserError, match="takes no video"):
        await utterances(call, bundle, **{"emotion.video": str(tmp_path / "v.npz")})
