"""The Whisper encoder in 8 bits: near the plain one; what both promise is in `test_whisper`."""

import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.encoders.whisper import Whisper
from streamer_models.streaming import streams_of
from tests.conftest import REPOSITORY
from tests.models.encoders.test_whisper import SECOND, TINY, speech, tiny


@pytest.fixture(scope="module")
def plain():
    return tiny()


@pytest.fixture(scope="module")
def fast(plain):
    return plain.fast()


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 4 * SECOND), seed=st.integers(0, 99))
def test_gives_the_frames_of_the_plain_one_but_for_rounding(plain, fast, samples, seed):
    wave = speech(4.0, seed)[:samples]
    expected, frames = plain.voiced_frames(wave), fast.voiced_frames(wave)
    assert frames.shape == expected.shape
    assert (frames - expected).norm() < 0.05 * expected.norm()


def test_the_embeddings_of_the_shipped_bundle_are_near():
    call, rate = soundfile.read(REPOSITORY / "streamer" / "samples" / "call.ogg", dtype="float32")
    assert rate == 3 * SECOND
    encoder = Bundle.load(find_bundle("streamer-en-2")).model.audio
    encoder.reduced_precision = False
    fast = encoder.fast()
    with torch.inference_mode():
        for start in range(4):
            wave = torch.from_numpy(call[::3, 0][start * SECOND : (start + 3) * SECOND].copy())[
                None
            ]
            expected, heard = encoder(wave)[0], fast(wave)[0]
            assert (heard - expected).norm() < 0.15 * expected.norm()


def test_pools_only_the_layers_that_are_asked_for():
    torch.manual_seed(3)
    encoder = Whisper(TINY.model_copy(update={"pooled": (1,)})).eval()
    encoder.reduced_precision = False
    with torch.inference_mode():
        expected, frames = (e.voiced_frames(speech(1.0)) for e in (encoder, encoder.fast()))
    assert frames.shape == expected.shape == (len(expected), TINY.width)
    assert (frames - expected).norm() < 0.05 * expected.norm()


def test_streams_use_it(plain, fast):
    wave = speech(1.0)
    stream = streams_of(plain)()
    stream.push(wave.numpy())
    assert torch.equal(stream.embedding(), fast(wave[None])[0])
