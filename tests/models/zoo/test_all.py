"""What holds for every system of the zoo that runs live."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer_models import registry
from streamer_models.bundle import Bundle
from streamer_models.classifier import Classifier
from streamer_models.heads.calibration import Calibration
from streamer_models.tokenizer import TextTokenizer
from streamer_models.zoo.base import Targets
from tests.models.tiny_bundle import TEXT, tokenizer_definition
from tests.models.zoo.tiny import VECTORS, batch_of, make_system, utterance

NAMES = registry.SYSTEMS.names()
IN_CONTEXT = "yoon2020"
"""A system of single utterances that is put into the context of past ones."""


@pytest.fixture(scope="module", params=[*NAMES, f"{IN_CONTEXT} in context"])
def model(request):
    name, _, context = request.param.partition(" ")
    return in_context(name) if context else make_system(name)


def in_context(name):
    """A system that sees two past utterances, with random weights for them."""
    model = make_system(name, context=3)
    torch.nn.init.normal_(model.past.shift.weight)
    return model


def predicted(model, utterances):
    """Predictions of a conversation's utterances, each at its end."""
    classifier = Classifier(model, Calibration(), 0.0, fast=False)
    state = classifier.new_state()
    return [classifier([state.window(state.add(u))])[0] for u in utterances]


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(n=st.integers(2, 4), seed=st.integers(0, 999), data=st.data())
def test_the_future_changes_no_prediction(model, n, seed, data):
    at = data.draw(st.integers(1, n - 1))
    said = [utterance(model, seed + i) for i in range(n)]
    other = [utterance(model, seed + 5000 + i) for i in range(n)]
    whole = predicted(model, said)
    altered = predicted(model, [*said[:at], *other[at:]])
    assert altered[:at] == whole[:at]


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 999), others=st.lists(st.integers(0, 999), min_size=1, max_size=4))
def test_the_rest_of_a_batch_changes_no_score(model, seed, others):
    window = (utterance(model, seed),)
    windows = [window, *((utterance(model, i),) for i in others)]
    with torch.inference_mode():
        alone = model.classify([window]).logits[0]
        together = model.classify(windows).logits[0]
        if model.name in VECTORS:
            torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-4)
        else:
            assert torch.equal(together, alone)
            padded = model(batch_of(model, *(each for (each,) in windows))).logits[0]
            torch.testing.assert_close(padded, alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("has", [(True, False), (False, True), (False, False)])
def test_any_modality_may_be_missing(model, has):
    audio, text = has
    (prediction,) = predicted(model, [utterance(model, 1, audio=audio, text=text)])
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_each_modality_counts(model):
    first, second = utterance(model, 1), utterance(model, 2)
    names = [name for name in ("audio", "text") if getattr(first, name) is not None]
    (before,) = predicted(model, [first])
    for name in names:
        (after,) = predicted(model, [replace(first, **{name: getattr(second, name)})])
        assert after.probabilities != before.probabilities


def test_the_past_counts_where_a_system_sees_it():
    model = in_context(IN_CONTEXT)
    first, second, third, fourth = (utterance(model, seed) for seed in range(4))
    whole = predicted(model, [first, second, third])[-1]
    assert predicted(model, [fourth, second, third])[-1] != whole
    assert predicted(model, [fourth, first, second, third])[-1] == whole
    other = replace(second, speaker=1 - second.speaker)
    assert predicted(model, [first, other, third])[-1] != whole
    alone = make_system(IN_CONTEXT)
    assert predicted(model, [first])[0] == predicted(alone, [first])[0]


def test_runs_from_a_bundle(model, tmp_path):
    text = model.text
    tokenizer = None if text is None else TextTokenizer(tokenizer_definition(), TEXT.max_tokens)
    Bundle(model.name, "1", model, Calibration(), 0.3, tokenizer, "A card.").save(tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    stream = bundle.audio_streams()()
    stream.push(0.1 * torch.randn(20_000, generator=torch.Generator().manual_seed(0)).numpy())
    embedder = bundle.text_embedder()
    said = replace(
        utterance(model, 1, audio=False, text=False),
        audio=stream.embedding(),
        text=None if embedder is None else embedder(["i am so happy"])[0],
    )
    (prediction,) = bundle.classifier()([(said,)])
    assert prediction.label in bundle.labels
    (again,) = Bundle.load(tmp_path / "b").classifier()([(said,)])
    assert again == prediction


@pytest.mark.parametrize("name", [name for name in NAMES if name not in VECTORS])
def test_learns_a_rule_from_a_few_examples(name):
    """Loud utterances are of the first class, quiet ones of the second."""
    torch.manual_seed(0)
    model = make_system(name, dropout=0.0).train()
    quiet, loud = (
        [
            replace(u, audio=u.audio + level, text=None)
            for u in (utterance(model, i, frames=12) for i in range(4))
        ]
        for level in (-1.0, 1.0)
    )
    batch = batch_of(model, *quiet, *loud)
    numbers = torch.arange(8)
    targets = Targets(
        labels=(numbers < 4).long(),
        speakers=numbers % 4,
        corpora=numbers % 2,
        dimensions=torch.where(numbers < 4, 0.5, -0.5)[:, None].expand(8, 2),
        sounds=numbers % 2,
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        loss = model.loss(batch, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = model.eval()(batch).logits.argmax(1) == targets.labels
    assert float(right.float().mean()) > 0.9
