"""Every bundle that comes with the program loads, fits its limits, and classifies sound and words."""

import numpy as np
import pytest
import torch

from streamer_models.bundle import PRETRAINED, Bundle
from streamer_models.memory import UtteranceEmbedding

NAMES = sorted(path.parent.name for path in PRETRAINED.glob("*/bundle.json"))
SECOND = 16_000


@pytest.fixture(scope="module", params=NAMES)
def bundle(request):
    return Bundle.load(PRETRAINED / request.param)


def noise(seconds):
    wave = np.random.default_rng(0).normal(0, 0.1, int(seconds * SECOND))
    return wave.astype(np.float32)


def test_has_the_name_of_its_folder_and_a_card_that_states_its_licence(bundle):
    assert bundle.name in NAMES
    assert bundle.card.startswith(f"# {bundle.name}")
    assert "## Licence" in bundle.card


@torch.inference_mode()
def test_classifies_sound_words_and_both(bundle):
    stream = bundle.audio_streams()()
    stream.push(noise(1.5))
    audio, text = stream.embedding(), bundle.text_embedder()(["that is wonderful"])[0]
    windows = [
        (UtteranceEmbedding(0, audio=audio),),
        (UtteranceEmbedding(0, text=text),),
        (UtteranceEmbedding(0, audio=audio, text=text),),
    ]
    for prediction in bundle.classifier()(windows):
        assert sum(prediction.probabilities.values()) == pytest.approx(1.0, abs=1e-5)
        assert prediction.label == prediction.likely[0]
        if prediction.dimensions is not None:
            assert all(-1 <= value <= 1 for value in prediction.dimensions.values())


@torch.inference_mode()
def test_finds_wonderful_words_happy_and_hateful_ones_angry(bundle):
    embed, classify = bundle.text_embedder(), bundle.classifier()
    texts = ["this is wonderful, i love it so much!", "shut up, i hate you, get out of my house!"]
    labels = [classify([(UtteranceEmbedding(0, text=embed([t])[0]),)])[0].label for t in texts]
    assert labels == ["happy", "angry"]
