"""The embedding computed while someone speaks is that of the whole utterance."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer_models.encoders.leaf_cnn import LeafCnn
from streamer_models.fast.leaf_cnn import FastLeafCnn
from streamer_models.streaming import BLOCK, Buffered, LeafCnnStream, streams_of

SECOND = 16_000


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    encoder = LeafCnn().eval().requires_grad_(requires_grad=False)
    for norm in (m for m in encoder.cnn.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return encoder


@pytest.fixture(scope="module")
def network(encoder):
    return FastLeafCnn(encoder)


def speech(seconds, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SECOND)) / SECOND
    loudness = 0.1 + 0.2 * np.abs(np.sin(7 * time + seed))
    return (loudness * rng.normal(0, 0.3, len(time))).astype(np.float32)


def offline(encoder, wave):
    with torch.inference_mode():
        return encoder(torch.from_numpy(wave)[None])[0]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    length=st.integers(1, 6 * SECOND),
    back=st.integers(0, 3 * SECOND // 2),
    sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6),
)
def test_streaming_matches_offline_for_any_chunks_and_end(encoder, network, length, back, sizes):
    wave = speech(length / SECOND)[:length]
    stream = LeafCnnStream(network)
    start = turn = 0
    while start < length:
        stream.push(wave[start : start + sizes[turn % len(sizes)]])
        start, turn = start + sizes[turn % len(sizes)], turn + 1
    end = max(1, length - back)
    assert torch.allclose(stream.embedding(end), offline(encoder, wave[:end]), atol=1e-4)
    assert torch.allclose(stream.embedding(), offline(encoder, wave), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 35, 36, 37, 43, 44, 52])
@pytest.mark.parametrize("extra", [-80, -79, 0])
def test_streaming_matches_offline_at_every_alignment_of_the_end(encoder, network, frames, extra):
    wave = speech(frames * 480 / SECOND + 0.1)[: frames * 480 + extra]
    stream = LeafCnnStream(network)
    stream.push(wave)
    assert torch.allclose(stream.embedding(), offline(encoder, wave), atol=1e-4)


def test_chunk_sizes_change_no_bit(network):
    wave = speech(4.0)
    whole, pieces = LeafCnnStream(network), LeafCnnStream(network)
    whole.push(wave)
    for start in range(0, len(wave), 333):
        pieces.push(wave[start : start + 333])
    assert torch.equal(whole.embedding(), pieces.embedding())


def test_estimates_leave_no_trace(network):
    wave = speech(3.0)
    asked, silent = LeafCnnStream(network), LeafCnnStream(network)
    for start in range(0, len(wave), 2400):
        for stream in (asked, silent):
            stream.push(wave[start : start + 2400])
        asked.embedding()
    assert torch.equal(asked.embedding(), silent.embedding())


@pytest.mark.parametrize("seconds", [0.4, 0.5, 1.0, 1.3, 1.5, 3.0])
def test_estimate_is_the_embedding_up_to_the_last_block(encoder, network, seconds):
    wave = speech(seconds)
    stream = LeafCnnStream(network)
    stream.push(wave)
    blocks = (len(wave) - 401 + 480) // 480 // BLOCK
    behind = (BLOCK * blocks - 1) * 480 + 401 if blocks else len(wave)
    assert len(wave) - behind < 0.51 * SECOND
    assert torch.allclose(stream.estimate(), offline(encoder, wave[:behind]), atol=1e-4)


def test_embeds_an_empty_utterance(network):
    assert torch.isfinite(LeafCnnStream(network).embedding()).all()


def test_memory_is_bounded(network):
    stream = LeafCnnStream(network)
    for _ in range(60):
        stream.push(speech(1.0))
    assert len(stream._samples) < 4 * SECOND
    assert len(stream._known) <= 12


def test_refuses_ends_in_the_future_or_long_past(network):
    stream = LeafCnnStream(network)
    stream.push(speech(10.0))
    for end in (10 * SECOND + 1, -1, SECOND):
        with pytest.raises(ValueError, match=r"samples|too far"):
            stream.embedding(end)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    length=st.integers(1, 4 * SECOND),
    back=st.integers(0, SECOND),
    sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=6),
)
def test_buffered_encoder_gives_the_offline_embedding_whatever_the_chunks(
    encoder, length, back, sizes
):
    wave = speech(length / SECOND)[:length]
    stream, once = Buffered(encoder), Buffered(encoder)
    once.push(wave)
    start = turn = 0
    while start < length:
        stream.push(wave[start : start + sizes[turn % len(sizes)]])
        stream.estimate()
        start, turn = start + sizes[turn % len(sizes)], turn + 1
    end = max(1, length - back)
    for stop in (end, length):
        assert torch.equal(stream.embedding(stop), once.embedding(stop))
        assert torch.equal(stream.embedding(stop), offline(encoder, wave[:stop]))


def test_buffered_estimates_are_few():
    encoder, embedded = Plain(), list[float]()
    encoder.max_samples = 10 * SECOND
    encoder.register_forward_hook(lambda _, wave, __: embedded.append(wave[0].shape[1] / SECOND))
    stream = Buffered(encoder)
    made = []
    for _ in range(40):
        stream.push(np.ones(SECOND // 4, np.float32))
        made.append(stream.estimate())
    assert made[:3] == [None, None, None]
    assert None not in made[3:]
    assert embedded == [1.0, 2.0, 4.0, 7.75]


def test_buffered_encoder_keeps_the_last_samples_of_a_long_utterance(encoder, monkeypatch):
    monkeypatch.setattr(type(encoder), "max_samples", SECOND)
    wave = speech(6.0)
    stream = Buffered(encoder)
    for start in range(0, len(wave), 1000):
        stream.push(wave[start : start + 1000])
    assert sum(map(len, stream._pieces)) < SECOND + stream.look_back + 1000
    end = len(wave) - stream.look_back
    assert torch.equal(stream.embedding(end), offline(encoder, wave[end - SECOND : end]))
    assert torch.equal(stream.embedding(), offline(encoder, wave[-SECOND:]))


def test_buffered_encoder_refuses_ends_that_it_cannot_know(encoder):
    stream = Buffered(encoder)
    assert torch.isfinite(stream.embedding()).all()
    stream.push(speech(3.0))
    for end, words in ((-1, "48000 samples"), (48_001, "48000 samples"), (0, "too far back")):
        with pytest.raises(ValueError, match=words):
            stream.embedding(end)


def test_an_encoder_without_a_stream_of_its_own_is_buffered(encoder):
    assert isinstance(streams_of(encoder)(), LeafCnnStream)
    assert isinstance(streams_of(Plain())(), Buffered)


class Plain(torch.nn.Module):
    """An audio encoder that knows nothing of streams."""

    embedding_size, receptive_field, max_samples = 1, 1, SECOND

    def forward(self, wave, lengths=None):
        return wave.mean(dim=1, keepdim=True)
