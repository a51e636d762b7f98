"""How good a late fusion is on its development parts, and the calibration and threshold that follow."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer_models.heads.calibration import Calibration, fit_temperature
from tools.data.manifest import Clip
from tools.evaluate.alarms import per_hour
from tools.evaluate.metrics import Judgements, grouped_report, report
from tools.training.recipes.open_dialogues import LABELS

COVERAGE = 0.9
"""Share of utterances whose true label is in the prediction set."""

THRESHOLDS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
CALLS_PER_HOUR: Mapping[str, float] = {"angry": 4.0, "sad": 12.0, "happy": 45.0}
"""Confident labels that are allowed on the recorded conversations by which a threshold is chosen."""
READERS, READERS_PER_HOUR = "librispeech_mini", 4.0
"""The same of each label on readers."""
FOLDS = "speech, training voices, by heads without them"
CROSSED = "recorded conversations, thresholds chosen on others"
CONVERSATIONS = ("call_", "conv_", "meet_", "misc_", "tel_")
"""Beginnings of the names of recordings of people who talk to each other; the others are readings and a speech."""

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
        unknown: u clips of training speakers, as recorded.
        unknown_scores: [u, classes], by heads that have not learnt from the speaker.
        votes: What most listeners hear in each clip; empty where nobody was asked.
        people: Grouping -> group of the speaker of each clip, empty where nothing is known.
        strange: Confidences [s] of what is no speech of ours, by corpus.
        calm: m calm pieces that nothing has learnt from, with their samples.
        calm_scores: [m, classes].
        calls: k utterances of recorded calls.
        calls_hours: Duration of each recording.
        calls_scores: [k, classes], by heads that have not learnt from the recording.
    """

    clips: Sequence[Clip]
    allowed: Sequence[bool]
    scores: Mapping[str, Tensor]
    unknown: Sequence[Clip]
    unknown_scores: Tensor
    votes: Sequence[str]
    people: Mapping[str, Sequence[str]]
    strange: Mapping[str, Tensor]
    calm: Sequence[tuple[Clip, int]]
    calm_scores: Tensor
    calls: Sequence[Clip]
    calls_hours: Mapping[str, float]
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
    thresholds: Mapping[str, float]
    parts: Mapping[str, dict[str, Any]]
    calm: Mapping[str, dict[str, Any]]
    confident_and_right: float
    """Of the development clips that are not neutral, by audio alone."""
    doubt: Mapping[str, dict[str, float]]
    """Of what is no speech of ours: how it compares with development clips by confidence."""

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
            **heard.people,
        }
        parts: dict[str, dict[str, Any]] = {}
        for name, scores in heard.scores.items():
            judged = Judgements.of(LABELS, truth, probabilities(scores, "audio"), speakers)
            parts[f"speech, {name}"] = grouped_report(judged, groups) | {
                "risk_coverage": risk_coverage(judged)
            }
        parts[FOLDS] = _unknown(heard, probabilities(heard.unknown_scores, "audio"))
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
            parts[f"{kind}, {condition} text"] = report(judged) | {
                "risk_coverage": risk_coverage(judged)
            }
        calm = probabilities(heard.calm_scores, "audio")
        calls = probabilities(heard.calls_scores, "audio")
        thresholds = choose_thresholds(heard, calm, calls, conversations(heard))
        whole = probabilities(heard.scores["whole"], "audio")
        expressive = _places(truth).numpy() != _NEUTRAL
        right = (whole.argmax(axis=1) == _places(truth).numpy()) & confident(whole, thresholds)
        return cls(
            calibration=calibration,
            threshold=min(thresholds.values()),
            thresholds=thresholds,
            parts=parts,
            calm=_calm(heard, calm, calls, thresholds),
            confident_and_right=round(float(right[expressive].mean()), 4),
            doubt={
                name: _doubt(whole, probabilities(scores, "audio"), thresholds)
                for name, scores in heard.strange.items()
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "calibration": self.calibration.model_dump(mode="json"),
            "threshold": self.threshold,
            "thresholds": dict(self.thresholds),
            "parts": dict(self.parts),
            "calm": dict(self.calm),
            "confident_and_right": self.confident_and_right,
            "doubt": dict(self.doubt),
        }


def confident(probabilities: _Floats, thresholds: Mapping[str, float]) -> NDArray[np.bool_]:
    """Which rows are a confident label other than neutral."""
    least = np.array([thresholds.get(label, 2.0) for label in LABELS])
    return np.asarray(probabilities.max(axis=1) >= least[probabilities.argmax(axis=1)])


def conversations(heard: Heard) -> list[str]:
    """Names of the recordings of people who talk to each other."""
    return sorted(name for name in heard.calls_hours if name.startswith(CONVERSATIONS))


def choose_thresholds(
    heard: Heard, calm: _Floats, calls: _Floats, recordings: Collection[str]
) -> dict[str, float]:
    """Return the least threshold of each label other than neutral that is quiet enough.

    Args:
        heard: What the probabilities belong to.
        calm: Probabilities [m, classes] of its calm pieces, of which the readers count.
        calls: Probabilities [k, classes] of the utterances of its calls.
        recordings: Of the calls, those that count.
    """
    readers = np.array([clip.corpus == READERS for clip, _ in heard.calm], np.bool_)
    read = sum(n for clip, n in heard.calm if clip.corpus == READERS) / _SAMPLES_PER_HOUR
    rows, hours = _of(heard, recordings)

    def quiet(label: str, threshold: float) -> bool:
        only = {label: threshold}
        return bool(
            confident(calls[rows], only).sum() <= CALLS_PER_HOUR[label] * hours
            and confident(calm[readers], only).sum() <= READERS_PER_HOUR * read
        )

    return {
        label: next((t for t in THRESHOLDS if quiet(label, t)), THRESHOLDS[-1])
        for label in CALLS_PER_HOUR
    }


def risk_coverage(judged: Judgements) -> float:
    """Area under the risk-coverage curve (Geifman & El-Yaniv, 2017): the mean error rate of the most confident ones."""
    wrong = judged.predicted != judged.truth
    order = np.argsort(-judged.probabilities.max(axis=1), kind="stable")
    rates = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    return round(float(rates.mean()), 4)


def _doubt(known: _Floats, strange: _Floats, thresholds: Mapping[str, float]) -> dict[str, float]:
    """Of what is no speech of ours: the share of confident labels, and how often one is less sure of it (AUROC)."""
    sure, unsure = known.max(axis=1), strange.max(axis=1)
    below = np.searchsorted(np.sort(unsure), sure).mean() / len(unsure)
    return {
        "n": len(strange),
        "confident": round(float(confident(strange, thresholds).mean()), 4),
        "auroc": round(float(below), 4),
    }


def _of(heard: Heard, recordings: Collection[str]) -> tuple[NDArray[np.bool_], float]:
    """Rows of the utterances of some recordings, and the hours of these."""
    rows = np.array([clip.speaker in recordings for clip in heard.calls], np.bool_)
    return rows, sum(heard.calls_hours[name] for name in recordings)


def _calm(
    heard: Heard, calm: _Floats, calls: _Floats, thresholds: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Confident labels an hour by kind of calm speech, all and those angry or sad."""
    hours: dict[str, dict[str, float]] = {}
    for clip, samples in heard.calm:
        speakers = hours.setdefault(clip.corpus, {})
        speakers[clip.speaker] = speakers.get(clip.speaker, 0.0) + samples / _SAMPLES_PER_HOUR
    readers = [clip.speaker for clip, _ in heard.calm]
    sure = confident(calm, thresholds)
    result = {corpus: _rates(calm, sure, readers, of) for corpus, of in hours.items()}
    talk, names = conversations(heard), [clip.speaker for clip in heard.calls]
    recorded = {
        "recorded conversations": {name: heard.calls_hours[name] for name in talk},
        "recorded readings": {n: h for n, h in heard.calls_hours.items() if n not in talk},
    }
    sure = confident(calls, thresholds)
    result |= {title: _rates(calls, sure, names, of) for title, of in recorded.items()}
    for own, other in ((talk[::2], talk[1::2]), (talk[1::2], talk[::2])):
        rows, _ = _of(heard, own)
        sure[rows] = confident(calls[rows], choose_thresholds(heard, calm, calls, other))
    result[CROSSED] = _rates(calls, sure, names, recorded["recorded conversations"])
    return result


def _rates(
    probabilities: _Floats,
    sure: NDArray[np.bool_],
    names: Sequence[str],
    hours: Mapping[str, float],
) -> dict[str, Any]:
    """Confident labels an hour, all and those angry or sad, with intervals over recordings or speakers.

    Args:
        probabilities: Of n utterances.
        sure: Which of them have a confident label other than neutral.
        names: Recording or speaker of each.
        hours: Of those that count.
    """
    result: dict[str, Any] = {
        "n": sum(name in hours for name in names),
        "hours": round(sum(hours.values()), 3),
    }
    dark = sure & (probabilities.argmax(axis=1) != LABELS.index("happy"))
    for key, alarms in (("confident_per_hour", sure), ("angry_or_sad_per_hour", dark)):
        counts = Counter(names[i] for i in np.flatnonzero(alarms).tolist())
        rate = per_hour([counts[name] for name in hours], list(hours.values()))
        result |= {key: rate["value"], f"{key}_interval": [rate["low"], rate["high"]]}
    return result


def _unknown(heard: Heard, rows: _Floats) -> dict[str, Any]:
    """Return the report on clips of training speakers by heads that do not know the speaker."""
    clips = heard.unknown
    truth, speakers = [clip.emotion4 for clip in clips], [clip.speaker for clip in clips]
    judged = Judgements.of(LABELS, truth, rows, speakers)
    return grouped_report(judged, {"corpus": [clip.corpus for clip in clips]})


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
