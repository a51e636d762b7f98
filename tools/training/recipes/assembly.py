"""The trained networks -> a bundle: rounded as it will be stored, calibrated, given a threshold and a card.

All is fitted on the development parts: speakers and dialogues that no stage has learnt from. What the card tells of
each of them is with a temperature fitted on others. A bundle that has learnt from them as well is judged by one that
has not, the holdout bundle.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration, fit_temperature
from streamer_models.windows import Dialogue
from tools.data.cache import open_clips
from tools.data.conversations import in_split, read_dialogues
from tools.evaluate.conversations import embedded, judged
from tools.evaluate.judging import judge
from tools.evaluate.metrics import Judgements
from tools.evaluate.output import REJECTED
from tools.training.recipes.model_card import Modalities, Part, model_card
from tools.training.recipes.open_dialogues import LABELS
from tools.training.tasks.audio_data import development_clips, open_versions
from tools.training.tasks.clip_embeddings import embed_clips
from tools.training.tasks.composition import ClipBank

NOISE = 0.3
"""Word error rate at which the loss by recognisers' errors is reported."""

_FITTED_ON: Mapping[Modalities, str] = {"both": "both", "audio": "speech", "text": "text"}
"""What utterances have -> the development part on which their temperature is fitted."""
_SETS: Mapping[Modalities, str] = {"both": "audio+text", "audio": "audio", "text": "text"}
"""What utterances have -> the calibration's name for it."""
_CALIBRATION_FOLDS = 5
"""In the card, the figures of each fifth of the speakers or dialogues are by temperatures of the others."""


def assemble(
    raw: Bundle,
    data: Path,
    out: Path,
    *,
    seed: int,
    cache: Path,
    holdout: Bundle | None = None,
) -> Bundle:
    """Write the bundle to `out`.

    Args:
        raw: Fully trained, neither calibrated nor described.
        data: Folder with speech/ and conversations/, whose development parts are used.
        out: The bundle's directory.
        seed: Of the casting of development dialogues.
        cache: Where decoded clips and energies are kept.
        holdout: Trained in the same way without the development parts, where this one has learnt from them.

    Returns:
        The bundle as it was written.
    """
    raw.save(out)
    raw = Bundle.load(out)  # rounded, as it will be used
    judge_of = replace(holdout, calibration=Calibration(), threshold=0.0) if holdout else raw
    uncalibrated = _Development(judge_of, data, seed, cache).parts(judge_of)
    calibration = Calibration.of(
        {
            _SETS[modality]: fit_temperature(*_logits(uncalibrated[part].judgements))
            for modality, part in _FITTED_ON.items()
        }
    )
    parts = {
        name: replace(
            part,
            judgements=calibrated_apart(
                part.judgements, uncalibrated[_FITTED_ON[part.modality]].judgements
            ),
        )
        for name, part in uncalibrated.items()
    }
    bundle = replace(
        raw, calibration=calibration, threshold=_threshold([parts[p] for p in _FITTED_ON.values()])
    )
    bundle = replace(bundle, card=model_card(bundle, parts, seed, holdout=holdout is not None))
    bundle.save(out)
    return bundle


def calibrated_apart(judgements: Judgements, fitted_on: Judgements) -> Judgements:
    """Return uncalibrated judgements with each cluster's temperature fitted on other clusters: what strangers will get.

    Args:
        judgements: To calibrate.
        fitted_on: Uncalibrated too; clusters of the same name are the same speaker or dialogue.
    """
    names = sorted({*judgements.clusters, *fitted_on.clusters})
    fold = {name: place % _CALIBRATION_FOLDS for place, name in enumerate(names)}
    probabilities = judgements.probabilities.copy()
    for number in range(_CALIBRATION_FOLDS):
        held = np.array([fold[cluster] == number for cluster in judgements.clusters], np.bool_)
        rest = np.array([fold[cluster] != number for cluster in fitted_on.clusters], np.bool_)
        if held.any() and rest.any():
            temperature = fit_temperature(*_logits(fitted_on.select(rest)))
            logits, _ = _logits(judgements.select(held))
            probabilities[held] = torch.softmax(logits / temperature, dim=-1).numpy()
    return replace(judgements, probabilities=probabilities)


class _Development:
    """What is judged: clips alone, MELD's text alone, MELD's text with voices."""

    def __init__(self, bundle: Bundle, data: Path, seed: int, cache: Path) -> None:
        speech = open_clips(data / "speech", cache)
        audio = bundle.model.audio
        assert audio is not None  # noqa: S101 - it was trained with one
        version = open_versions(speech, copies=0, seed=seed, cache=cache)[0]
        places = development_clips(speech.clips)
        clips = [speech.clips[place] for place in places]
        embeddings = embed_clips(audio, version, places)
        stretches = embed_clips(audio, version, places, short=np.random.default_rng(seed))
        self.clips = clips
        self.whole = [_alone(row) for row in embeddings]
        self.short = [_alone(row) for row in stretches]
        self.written = in_split(read_dialogues(data / "conversations" / "meld"), "val")
        bank = ClipBank(clips, embeddings[None])
        self.text = embedded(bundle, self.written, None, seed=seed)
        self.noisy = embedded(bundle, self.written, None, noise=NOISE, seed=seed)
        self.both = embedded(bundle, self.written, bank, seed=seed)

    def parts(self, bundle: Bundle) -> dict[str, Part]:
        """Return the judgements of each part, by its name in the card."""
        clips = self.clips
        text, _ = judged(bundle, self.written, self.text)
        noisy, _ = judged(bundle, self.written, self.noisy)
        both, _ = judged(bundle, self.written, self.both)
        alone, _ = judged(bundle, self.written, self.text, context=False)
        groups = {
            "corpus": [clip.corpus for clip in clips],
            "sex": [clip.gender for clip in clips],
            "speaker": [clip.speaker for clip in clips],
        }
        return {
            "speech": Part(
                "Acted speech, audio alone, no context",
                "audio",
                self._heard(bundle, self.whole),
                groups,
            ),
            "short": Part(
                "Acted speech, stretches of 0.4 to 1.3 s", "audio", self._heard(bundle, self.short)
            ),
            "text": Part("MELD, text and past context", "text", text),
            "alone": Part("MELD, text alone, no context", "text", alone),
            "noisy": Part(f"MELD, text with {NOISE:.0%} word errors, past context", "text", noisy),
            "both": Part("MELD, text and composed voices, past context", "both", both),
        }

    def _heard(self, bundle: Bundle, dialogues: list[Dialogue]) -> Judgements:
        """Return what is said of the clips, of which each is a conversation of its own."""
        return Judgements.of(
            LABELS,
            [clip.emotion4 for clip in self.clips],
            np.concatenate(judge(bundle, dialogues)),
            [clip.speaker for clip in self.clips],
        )


def _alone(embedding: torch.Tensor) -> Dialogue:
    """Return a conversation of one utterance that was heard, not read."""
    row = embedding[None]
    yes, no = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    return Dialogue(row, torch.zeros_like(row), yes, no, torch.zeros(1, dtype=torch.int64))


def _logits(judgements: Judgements) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and classes: the logarithms of uncalibrated probabilities are logits."""
    logits = torch.from_numpy(np.log(np.maximum(judgements.probabilities, 1e-12)))
    return logits, torch.from_numpy(judgements.truth)


def _threshold(parts: list[Part]) -> float:
    """Return the confidence under which a quarter of the utterances lie, the parts counting alike."""
    confidences = [part.judgements.probabilities.max(axis=1) for part in parts]
    size = min(map(len, confidences))
    even = [np.quantile(c, (np.arange(size) + 0.5) / size) for c in confidences]
    return round(float(np.quantile(np.concatenate(even), REJECTED)), 4)
