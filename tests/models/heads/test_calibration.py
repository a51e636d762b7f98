import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.heads.calibration import Calibration, fit_temperature, modalities_of


def sampled(temperature, n=5_000, seed=0):
    """Logits that are too sharp by a factor, and labels drawn from what they would mean without it."""
    generator = torch.Generator().manual_seed(seed)
    true = torch.randn(n, 4, generator=generator)
    labels = torch.multinomial(true.softmax(-1), 1, generator=generator)[:, 0]
    return true * temperature, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_fits_the_temperature_of_sharpened_logits(temperature):
    assert fit_temperature(*sampled(temperature)) == pytest.approx(temperature, rel=0.1)


@given(seed=st.integers(0, 2**31), n=st.integers(5, 200), scale=st.floats(0.1, 20))
@settings(max_examples=30, deadline=None)
def test_fitted_temperature_is_optimal(seed, n, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (n,), generator=generator)

    def loss(t):
        return float(torch.nn.functional.cross_entropy(logits / t, labels))

    best = fit_temperature(logits, labels)
    others = [t for t in (0.9 * best, 0.99 * best, 1.01 * best, 1.1 * best) if 0.02 <= t <= 50]
    assert all(loss(best) <= loss(other) + 1e-9 for other in others)


def test_temperature_stays_within_bounds():
    logits = 10 * torch.eye(3).repeat(20, 1)
    right = torch.arange(3).repeat(20)
    assert fit_temperature(logits, right) == pytest.approx(1 / 50)
    assert fit_temperature(logits, (right + 1) % 3) == pytest.approx(50)
    with pytest.raises(ValueError, match="no data"):
        fit_temperature(logits[:0], right[:0])


def test_fits_a_temperature_to_each_set_of_modalities():
    parts = [sampled(t, seed=i) for i, t in enumerate((0.5, 1.0, 2.0))]
    logits = torch.cat([part[0] for part in parts])
    labels = torch.cat([part[1] for part in parts])
    n = len(parts[0][1])
    has_audio = torch.tensor([True, True, False]).repeat_interleave(n)
    has_text = torch.tensor([True, False, True]).repeat_interleave(n)
    fitted = Calibration.fit(logits, labels, has_audio, has_text)
    found = [fitted[name].temperature for name in ("audio+text", "audio", "text")]
    assert found == pytest.approx((0.5, 1.0, 2.0), rel=0.1)
    probabilities = fitted.probabilities(logits, modalities_of(has_audio, has_text))
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(3 * n))
    assert (probabilities.argmax(-1) == logits.argmax(-1)).all()
    torch.testing.assert_close(probabilities[0], (logits[0] / found[0]).softmax(-1))
    torch.testing.assert_close(probabilities[-1], (logits[-1] / found[2]).softmax(-1))


def test_rare_sets_get_the_temperature_of_all():
    logits, labels = sampled(2.0, n=500)
    has_text = torch.arange(500) < 490
    fitted = Calibration.fit(logits, labels, torch.ones(500, dtype=torch.bool), has_text)
    overall = fit_temperature(logits, labels)
    assert fitted["audio"].temperature == fitted["text"].temperature == overall
    assert fitted["audio+text"].temperature == fit_temperature(logits[:490], labels[:490])


def test_unknown_sets_get_the_scaling_of_the_largest_and_none_changes_nothing():
    calibration = Calibration.of({"audio": 2.0, "audio+text": 3.0})
    assert calibration["text"].temperature == calibration[""].temperature == 3.0
    logits = torch.randn(2, 4)
    plain = Calibration().probabilities(logits, [("audio",), ()])
    torch.testing.assert_close(plain, logits.softmax(-1))


def test_bias_corrects_the_prior():
    logits = torch.randn(3, 4)
    bias = (0.5, -1.0, 0.0, 2.0)
    calibration = Calibration.model_validate({"audio": {"temperature": 2, "bias": bias}})
    corrected = calibration.probabilities(logits, [("audio",)] * 3)
    torch.testing.assert_close(corrected, (logits / 2 + torch.tensor(bias)).softmax(-1))
    with pytest.raises(ValueError, match="differ in length"):
        Calibration.model_validate({"audio": {"bias": [1]}, "text": {"bias": [1, 2]}})
