"""How good a late fusion is on its development parts, and the calibration and threshold that follow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer_models.heads.calibration import Calibration, fit_temperature
from tools.data.manifest import Clip
from tools.evaluate.metrics import Judgements, grouped_report, report
from tools.training.recipes.open_dialogues import LABELS

COVERAGE = 0.9
"""Share of utterances whose true label is in the prediction set."""

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
CALLS_PER_HOUR, READERS_PER_HOUR = 60.0, 12.0
"""Confident labels other than neutral that are allowed on recorded calls and on readers."""

_NEUTRAL = LABELS.index("neutral")
_SAMPLES_PER_HOUR = 16_000 * 3600.0

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """Scores by audio alone.

    Attributes:
        clips: n development clips.
        allowed: Which of them the terms allow to learn from: on these the temperature is fitted.
        scores: Condition -> [n, classes].
        votes: What most listeners hear in each clip; empty where nobody was asked.
        calm: m calm pieces that nothing has learnt from, with their samples.
        calm_scores: [m, classes].
        calls: k utterances of recorded calls.
        calls_hours: Duration of the recordings.
        calls_scores: [k, classes], by heads that have not learnt from the recording.
    """

    clips: Sequence[Clip]
    allowed: Sequence[bool]
    scores: Mapping[str, Tensor]
    votes: Sequence[str]
    calm: Sequence[tuple[Clip, int]]
    calm_scores: Tensor
    calls: Sequence[Clip]
    calls_hours: float
    calls_scores: Tensor


@dataclass(frozen=True)
class Said:
    """The scores [classes] of one labelled turn of a dialogue: modalities, condition of the text, dialogue, label."""

    modalities: str
    condition: str
    dialogue: str
    label: str
    scores: Tensor


@dataclass(frozen=True)
class Figures:
    """Calibration, threshold, and all measures."""

    calibration: Calibration
    threshold: float
    parts: Mapping[str, dict[str, Any]]
    calm: Mapping[str, dict[str, float]]
    confident_and_right: float
    """Of the development clips that are not neutral, by audio alone."""

    @classmethod
    def of(cls, heard: Heard, said: Sequence[Said]) -> "Figures":
        """Calibrate and measure."""
        allowed = torch.tensor(heard.allowed)
        truth = [clip.emotion4 for clip in heard.clips]
        speakers = [clip.speaker for clip in heard.clips]
        talk = {
            (kind, condition): _turns(said, kind, condition)
            for kind in ("text", "audio+text")
            for condition in ("clear", "noisy")
        }
        scalings = {
            "audio": _scaling(heard.scores["whole"][allowed], _places(truth)[allowed]),
            **{
                kind: _scaling(*_joined(talk[kind, "clear"], talk[kind, "noisy"]))
                for kind in ("text", "audio+text")
            },
        }
        calibration = Calibration.model_validate(scalings)

        def probabilities(scores: Tensor, kind: str) -> _Floats:
            scaled = torch.softmax(scores / scalings[kind]["temperature"], dim=-1)
            return np.asarray(scaled.double().numpy())

        groups = {
            "corpus": [clip.corpus for clip in heard.clips],
            "sex": [clip.gender for clip in heard.clips],
        }
        parts: dict[str, dict[str, Any]] = {}
        for name, scores in heard.scores.items():
            judged = Judgements.of(LABELS, truth, probabilities(scores, "audio"), speakers)
            parts[f"speech, {name}"] = grouped_report(judged, groups)
        asked = [i for i, vote in enumerate(heard.votes) if vote]
        if asked:
            rows = probabilities(heard.scores["whole"][asked], "audio")
            votes = [heard.votes[i] for i in asked]
            judged = Judgements.of(LABELS, votes, rows, [speakers[i] for i in asked])
            parts["speech, against listeners' votes"] = report(judged)
        for (kind, condition), (scores, labels, dialogues) in talk.items():
            judged = Judgements.of(
                LABELS, [LABELS[i] for i in labels.tolist()], probabilities(scores, kind), dialogues
            )
            parts[f"{kind}, {condition} text"] = report(judged)
        calm = probabilities(heard.calm_scores, "audio")
        calls = probabilities(heard.calls_scores, "audio")
        threshold = next((t for t in THRESHOLDS if _quiet(heard, calm, calls, t)), THRESHOLDS[-1])
        whole = probabilities(heard.scores["whole"], "audio")
        expressive = _places(truth).numpy() != _NEUTRAL
        right = (whole.argmax(axis=1) == _places(truth).numpy()) & (whole.max(axis=1) >= threshold)
        return cls(
            calibration=calibration,
            threshold=threshold,
            parts=parts,
            calm=_calm(heard, calm, calls, threshold),
            confident_and_right=round(float(right[expressive].mean()), 4),
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "calibration": self.calibration.model_dump(mode="json"),
            "threshold": self.threshold,
            "parts": dict(self.parts),
            "calm": dict(self.calm),
            "confident_and_right": self.confident_and_right,
        }


def confident(probabilities: _Floats, threshold: float) -> NDArray[np.bool_]:
    """Which rows are a confident label other than neutral."""
    sure = probabilities.max(axis=1) >= threshold
    return np.asarray((probabilities.argmax(axis=1) != _NEUTRAL) & sure)


def _calm(
    heard: Heard, calm: _Floats, calls: _Floats, threshold: float
) -> dict[str, dict[str, float]]:
    """Confident labels an hour by kind of calm speech, all and those angry or sad."""
    hours = Counter[str]()
    for clip, samples in heard.calm:
        hours[clip.corpus] += samples / _SAMPLES_PER_HOUR  # type: ignore[assignment]
    result = {}
    for corpus, duration in hours.items():
        mine = np.array([clip.corpus == corpus for clip, _ in heard.calm])
        result[corpus] = _rates(calm[mine], threshold, duration)
    result["recorded calls"] = _rates(calls, threshold, heard.calls_hours)
    return result


def _rates(probabilities: _Floats, threshold: float, hours: float) -> dict[str, float]:
    sure = confident(probabilities, threshold)
    dark = sure & (probabilities.argmax(axis=1) != LABELS.index("happy"))
    return {
        "n": len(probabilities),
        "hours": round(hours, 3),
        "confident_per_hour": round(float(sure.sum()) / hours, 1),
        "angry_or_sad_per_hour": round(float(dark.sum()) / hours, 1),
    }


def _quiet(heard: Heard, calm: _Floats, calls: _Floats, threshold: float) -> bool:
    rates = _calm(heard, calm, calls, threshold)
    readers = rates.get("librispeech_mini", {"confident_per_hour": 0.0})
    return (
        rates["recorded calls"]["confident_per_hour"] <= CALLS_PER_HOUR
        and readers["confident_per_hour"] <= READERS_PER_HOUR
    )


def _scaling(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Temperature, and the least probability of a label in the prediction set."""
    temperature = fit_temperature(scores, labels)
    probabilities = torch.softmax(scores / temperature, dim=-1)
    true = probabilities.gather(1, labels[:, None])[:, 0]
    return {
        "temperature": temperature,
        "likely": round(float(torch.quantile(true, 1 - COVERAGE)), 4),
    }


def _turns(said: Sequence[Said], kind: str, condition: str) -> tuple[Tensor, Tensor, list[str]]:
    chosen = [each for each in said if (each.modalities, each.condition) == (kind, condition)]
    scores = torch.stack([each.scores for each in chosen])
    return scores, _places([each.label for each in chosen]), [each.dialogue for each in chosen]


def _joined(*parts: tuple[Tensor, Tensor, list[str]]) -> tuple[Tensor, Tensor]:
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _places(labels: Sequence[str]) -> Tensor:
    return torch.tensor([LABELS.index(label) for label in labels])
