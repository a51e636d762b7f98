from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.classifier import Classifier
from streamer_models.heads.calibration import Calibration, modalities_of
from streamer_models.memory import UtteranceEmbedding
from streamer_models.windows import Dialogue
from tests.models.test_memory import filled, utterances
from tests.models.tiny_bundle import classify_next, make_model

CALIBRATION = Calibration.of({"audio+text": 1.5, "audio": 2.0, "text": 1.2})


@pytest.fixture(scope="module")
def classifier():
    return Classifier(make_model(), CALIBRATION, threshold=0.3)


def same(a, b):
    assert (a.label, a.abstained, a.modalities) == (b.label, b.abstained, b.modalities)
    assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)


@given(n=st.integers(1, 16), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_streamed_predictions_equal_all_windows_at_once(classifier, n, seed):
    said = utterances(n, seed)
    zero = torch.zeros(100)
    whole = Dialogue(
        audio=torch.stack([zero if u.audio is None else u.audio for u in said]),
        text=torch.stack([zero if u.text is None else u.text for u in said]),
        has_audio=torch.tensor([u.audio is not None for u in said]),
        has_text=torch.tensor([u.text is not None for u in said]),
        speaker=torch.tensor([u.speaker for u in said]),
    )
    with torch.inference_mode():
        expected = classifier.calibration.probabilities(
            classifier.system.dialogue(whole), modalities_of(whole.has_audio, whole.has_text)
        )
    state = classifier.new_state()
    for utterance, probabilities in zip(said, expected, strict=True):
        prediction = classify_next(classifier, state, utterance)
        assert list(prediction.probabilities.values()) == pytest.approx(
            probabilities.tolist(), abs=1e-5
        )


def test_prediction_is_consistent(classifier):
    prediction = classify_next(classifier, classifier.new_state(), utterances(1)[0])
    assert list(prediction.probabilities) == list(classifier.labels)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert prediction.confidence == max(prediction.probabilities.values())
    assert prediction.confidence == prediction.probabilities[prediction.label]
    assert prediction.likely == (prediction.label,)
    assert prediction.dimensions is None


def test_abstains_under_the_threshold_only(classifier):
    first = utterances(1)[0]
    confidence = classify_next(classifier, classifier.new_state(), first).confidence
    for threshold, abstained in ((0.0, False), (confidence, False), (confidence + 1e-6, True)):
        strict = Classifier(classifier.system, classifier.calibration, threshold)
        assert classify_next(strict, strict.new_state(), first).abstained is abstained


def test_a_label_may_have_a_threshold_of_its_own(classifier):
    first = utterances(1)[0]
    label = classify_next(classifier, classifier.new_state(), first).label
    for name in classifier.labels:
        strict = Classifier(classifier.system, classifier.calibration, 0.0, {name: 1.0})
        prediction = classify_next(strict, strict.new_state(), first)
        assert prediction.abstained is (name == label)


def test_prediction_set_holds_every_label_above_its_bound(classifier):
    first = utterances(1)[0]
    p = classify_next(classifier, classifier.new_state(), first).probabilities
    order = sorted(p, key=p.get, reverse=True)
    sets = CALIBRATION.model_dump()
    for size in range(1, len(p) + 1):
        key = "+".join(first.modalities)
        calibration = Calibration.model_validate(
            {**sets, key: {**sets[key], "likely": p[order[size - 1]] - 1e-6}}
        )
        wide = Classifier(classifier.system, calibration, 0.3)
        assert classify_next(wide, wide.new_state(), first).likely == tuple(order[:size])


@pytest.mark.parametrize("fast", [True, False])
def test_estimates_dimensions_where_the_model_has_them(fast):
    model = make_model(dimensions=("valence", "arousal"))
    classifier = Classifier(model, CALIBRATION, 0.3, fast=fast)
    for utterance in utterances(4):
        dimensions = classify_next(classifier, classifier.new_state(), utterance).dimensions
        assert list(dimensions) == ["valence", "arousal"]
        assert all(-1 <= value <= 1 for value in dimensions.values())


def test_modalities_are_those_of_the_present_utterance(classifier):
    audio, text = torch.randn(2, 100)
    state = classifier.new_state()
    for parts, modalities in (
        ((audio, text), ("audio", "text")),
        ((audio, None), ("audio",)),
        ((None, text), ("text",)),
        ((None, None), ()),
    ):
        utterance = UtteranceEmbedding(0, *parts)
        assert classify_next(classifier, state, utterance).modalities == modalities


def test_late_text_gives_the_prediction_of_text_at_once(classifier):
    said = utterances(9)
    late = replace(said[6], audio=torch.ones(100), text=torch.ones(100))
    at_once, filled_in = classifier.new_state(), classifier.new_state()
    for utterance in (*said[:6], late):
        at_once.add(utterance)
    expected = classifier([at_once.window(6)])[0]

    for utterance in (*said[:6], replace(late, text=None), *said[7:]):
        number = filled_in.add(utterance)
    assert number == 8
    without = classifier([filled_in.window(6)])[0]
    filled_in.set_text(6, torch.ones(100))
    same(classifier([filled_in.window(6)])[0], expected)
    assert without.probabilities != pytest.approx(expected.probabilities, abs=1e-4)


@pytest.mark.parametrize("n", [0, 2, 30])
def test_estimate_of_an_unfinished_utterance_is_the_prediction_at_its_end(classifier, n):
    utterance = UtteranceEmbedding(1, torch.ones(100))
    estimate = classifier([filled(n).window_with(utterance)])[0]
    same(estimate, classify_next(classifier, filled(n), utterance))


def test_batch_of_conversations_equals_each_alone(classifier):
    windows = [filled(n, seed=n).window(n - 1) for n in (1, 3, 20)]
    for together, window in zip(classifier(windows), windows, strict=True):
        same(together, classifier([window])[0])
    assert classifier([]) == []


def test_refuses_windows_of_another_model(classifier):
    for window in (tuple(utterances(6)), ()):
        with pytest.raises(ValueError, match="1 to 5"):
            classifier([window])
    with pytest.raises(ValueError, match="vectors of 100"):
        classifier([(UtteranceEmbedding(0, torch.zeros(7)),)])


def test_refuses_a_model_of_whole_conversations():
    with pytest.raises(ValueError, match="whole conversation"):
        Classifier(make_model(window=None, speaker=False), Calibration(), 0.0)


def test_refuses_a_calibration_of_other_classes():
    calibration = Calibration.model_validate({"audio": {"bias": [0, 0, 0]}})
    with pytest.raises(ValueError, match="classes"):
        Classifier(make_model(), calibration, 0.0)
