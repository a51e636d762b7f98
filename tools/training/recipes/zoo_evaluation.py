"""The figures of a system of the zoo: voices alone, texts alone, texts with voices; and what it costs."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer_models.contract import Modality, Scores, UtteranceEmbedding
from streamer_models.heads.calibration import Calibration, fit_temperature
from streamer_models.sequences import Utterances
from streamer_models.streaming import Buffered
from streamer_models.zoo.base import UtteranceSystem
from streamer_models.zoo.hsu2021 import Hsu2021
from streamer_models.zoo.padi2022 import Padi2022
from tools.evaluate.concordance import concordance_report
from tools.evaluate.metrics import Judgements, report
from tools.training.recipes.zoo_learning import Material
from tools.training.tasks.audio_data import LABELS
from tools.training.tasks.dimension_fit import PLANE
from tools.training.tasks.rated_texts import DIMENSIONS
from tools.training.tasks.zoo_data import Part
from tools.training.tasks.zoo_encoders import AudioFrames

_BATCH = 64


def evaluate(model: UtteranceSystem, material: Material) -> tuple[Calibration, dict[str, Any]]:
    """Temperatures, of texts by the half of the dialogues that is not reported, and the figures."""
    dev, temperatures = material.speech["dev"], {}
    heard = [dev.audio(place) for place in range(len(dev.labels))]
    logits = scores(model, heard)
    temperatures["audio"] = fit_temperature(logits, dev.labels)
    figures = {"speech": figures_of(logits, dev.labels, dev.groups)}
    if model.dimensions is not None:
        figures["dimensions"] = dimension_figures(model, material)
    if material.sounds and isinstance(model, Hsu2021):
        figures["sounds"] = sound_figures(model, material)
    kinds: dict[str, Modality] = {"text": "text", "both": "audio"}
    for name in kinds if material.texts else ():
        choice, test = (material.texts[part] for part in ("choice", "report"))
        key = "text" if name == "text" else "audio+text"
        fitted = scores(model, _written(choice, dev if name == "both" else None))
        temperatures[key] = fit_temperature(fitted, choice.labels)
        said = scores(model, _written(test, dev if name == "both" else None))
        figures[f"meld_{name}"] = figures_of(said, test.labels, test.groups)
    cost = milliseconds_per_second(model, material.encoder)
    return Calibration.of(temperatures), {**figures, "cpu_ms_per_second": round(cost, 2)}


def scores(model: UtteranceSystem, utterances: Sequence[UtteranceEmbedding]) -> Tensor:
    """Logits [N, classes]."""
    return torch.cat([each.logits for each in _scored(model, utterances)])


@torch.inference_mode()
def _scored(model: UtteranceSystem, utterances: Sequence[UtteranceEmbedding]) -> list[Scores]:
    """Scores of utterances, in batches."""
    return [
        model(
            Utterances.of(
                [(u,) for u in utterances[start : start + _BATCH]], model.config.sizes, model.device
            )
        )
        for start in range(0, len(utterances), _BATCH)
    ]


def dimension_figures(model: UtteranceSystem, material: Material) -> dict[str, Any]:
    """CCC on voices, whose ratings are the places of their categories, and on rated sentences where there are some."""
    dev, rated = material.speech["dev"], material.rated.get("dev")
    voices = [dev.audio(place) for place in range(len(dev.labels))]
    places = torch.tensor([PLANE[LABELS[label]] for label in dev.labels.tolist()])
    figures = {"voices": concordances(model, voices, places, dev.groups)}
    if rated is not None and rated.ratings is not None:
        said = [rated.text(place) for place in range(len(rated.labels))]
        figures["rated_texts"] = concordances(model, said, rated.ratings, rated.groups)
    return figures


def concordances(
    model: UtteranceSystem,
    utterances: Sequence[UtteranceEmbedding],
    ratings: Tensor,
    groups: Sequence[str],
) -> dict[str, Any]:
    """CCC of the model's dimensions with ratings of valence and arousal [n, 2]."""
    columns = [DIMENSIONS.index(name) for name in model.config.dimensions]
    estimated = dimensions_of(model, utterances).double().numpy()
    rated = ratings[:, columns].double().numpy()
    return concordance_report(estimated, rated, groups, model.config.dimensions)


def dimensions_of(model: UtteranceSystem, utterances: Sequence[UtteranceEmbedding]) -> Tensor:
    """Dimensions [N, D] of a model that estimates them."""
    made = [each.dimensions for each in _scored(model, utterances)]
    return torch.cat([each for each in made if each is not None])


@torch.inference_mode()
def sound_figures(model: Hsu2021, material: Material) -> dict[str, Any]:
    """Return how well kinds of sound are told apart, on clips without words and on as many of speech."""
    sounds, speech = material.sounds["dev"], material.speech["dev"]
    step = max(1, len(speech.labels) // max(1, len(sounds.labels)))
    clips = [(sounds, place, int(kind)) for place, kind in enumerate(sounds.labels)]
    clips += [(speech, place, 0) for place in range(0, len(speech.labels), step)]
    logits = [
        model.utterance_sounds(
            Utterances.of([(part.audio(place),)], model.config.sizes, model.device)
        )[0]
        for part, place, _ in clips
    ]
    judged = Judgements(
        model.config.sounds,
        np.array([kind for _, _, kind in clips]),
        torch.stack(logits).double().softmax(-1).numpy(),
        tuple(part.groups[place] for part, place, _ in clips),
    )
    whole = report(judged)
    return {"n": whole["n"], "ua": whole["ua"], "recall": whole["recall"]}


def choose_fusion_weight(model: UtteranceSystem, material: Material) -> None:
    """Set the weight of a late fusion to the best of 0.1, 0.2, ... 0.9 on a half of MELD's val part."""
    if not isinstance(model, Padi2022) or not material.texts:
        return
    choice = material.texts["choice"]
    utterances = _written(choice, material.speech["dev"])
    found = {}
    for tenth in range(1, 10):
        model.weight.fill_(tenth / 10)
        judged = _judgements(scores(model, utterances), choice.labels, choice.groups)
        found[tenth / 10] = report(judged, resamples=2)["ua"]["value"]
    model.weight.fill_(max(found, key=lambda weight: found[weight]))


def milliseconds_per_second(
    model: UtteranceSystem, encoder: AudioFrames, seconds: int = 4
) -> float:
    """CPU milliseconds for a second of an utterance: its frames, and its classification by them."""
    wave = 0.1 * torch.randn(
        seconds * 16_000, generator=torch.Generator().manual_seed(0)
    ).numpy().astype(np.float32)
    costs = []
    for _ in range(7):
        begin = time.process_time()
        stream = Buffered(encoder)
        stream.push(wave)
        with torch.inference_mode():
            model.classify([(UtteranceEmbedding(0, audio=stream.embedding()),)])
        costs.append(time.process_time() - begin)
    return float(np.median(costs)) / seconds * 1000


def _written(texts: Part, voices: Part | None) -> list[UtteranceEmbedding]:
    """Texts, each with one of the voices of its class in turn where there are voices."""
    if voices is None:
        return [texts.text(place) for place in range(len(texts.labels))]
    by_label = voices.places_by_label()
    said = []
    for place, label in enumerate(texts.labels.tolist()):
        among = by_label[label]
        said.append(texts.text(place, voices.features[among[place % len(among)]]))
    return said


def figures_of(logits: Tensor, labels: Tensor, groups: Sequence[str]) -> dict[str, Any]:
    """Number, unweighted accuracy and accuracy, with intervals over the groups."""
    whole = report(_judgements(logits, labels, groups))
    return {"n": whole["n"], "ua": whole["ua"], "accuracy": whole["accuracy"]}


def _judgements(logits: Tensor, labels: Tensor, groups: Sequence[str]) -> Judgements:
    probabilities = logits.double().softmax(-1).numpy()
    return Judgements(LABELS, labels.numpy(), probabilities, tuple(groups))
