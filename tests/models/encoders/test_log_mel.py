"""The log-mel spectrogram is Whisper's own."""

import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from hypothesis import given
from hypothesis import strategies as st

from streamer_models.encoders.log_mel import HOP, log_mel


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("samples", [1600, 16000, 16001, 47999])
def test_equals_an_independent_form(bands, samples):
    voice = (np.random.default_rng(samples).normal(size=samples) * 0.1).astype(np.float32)
    expected = FeatureExtractor(feature_size=bands)(np.pad(voice, (0, 400)), padding=0)
    found = log_mel(voice, bands)
    assert found.dtype == np.float32
    assert found.shape == (bands, -(-samples // HOP))
    np.testing.assert_allclose(found, expected[:, : found.shape[1]], atol=1e-5)


@given(st.integers(1600, 40_000))
def test_has_a_column_for_each_hop_begun(samples):
    assert log_mel(np.ones(samples, np.float32), 80).shape == (80, -(-samples // HOP))
