"""The trained parts of a late fusion -> a bundle: fused, calibrated, given a threshold, measured and described.

All figures are of development speakers and dialogues that nothing has learnt from. The fusion and the temperatures of a
dialogue are fitted on others; recorded calls are scored by heads that have not learnt from them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_gru import BertGru
from streamer_models.encoders.whisper import Whisper
from streamer_models.tokenizer import TextTokenizer
from streamer_models.zoo.late_fusion import LateFusion, LateFusionConfig, ScoreFusion
from tools.data.manifest import Clip
from tools.training.provenance import write_provenance
from tools.training.recipes.label_card import card
from tools.training.recipes.label_data import LabelData
from tools.training.recipes.label_figures import Figures, Heard, Said
from tools.training.recipes.open_dialogues import LABELS
from tools.training.tasks.composition import PLAIN, ClipBank, Composition, clip_call, voiced
from tools.training.tasks.dimension_fit import fit_dimensions, targets_of
from tools.training.tasks.score_fusion import FusionSettings, calm_call, fit_fusion, fused
from tools.training.tasks.speech_pieces import Version
from tools.training.tasks.statistics_head import CALM_TARGET, Scorer, embed
from tools.training.tasks.text import embed_texts
from tools.training.tasks.text_noise import RecogniserNoise

if TYPE_CHECKING:
    from streamer_models.heads.dimensions import DimensionHead
    from tools.data.conversations import TextDialogue
    from tools.training.recipes.labels import Scorers, StatisticsBank
    from tools.training.tasks.dialogues import LabelledDialogue

NOISE = 0.3
"""Word error rate at which the loss by recognisers' errors is measured."""

_HALVES = 2
_COMPOSITION = Composition(silent=0.0, wordless=0.0, wordless_calls=0.0, versions=3)
_DIMENSION_ROWS = 4000


@dataclass(frozen=True)
class Parts:
    """All that was trained, and what it was trained on."""

    data: LabelData
    bank: "StatisticsBank"
    encoder: Whisper
    scorers: "Scorers"
    text: BertGru
    classifier: nn.Linear
    tokenizer: TextTokenizer
    fusion: FusionSettings
    seed: int


def assemble(parts: Parts, out: Path, settings: Mapping[str, Any]) -> Bundle:
    """Write the bundle, its figures (figures.json) and its provenance to `out`."""
    model = _model(parts)
    talk = _Talk(parts)
    model.fusion = talk.fusion(range(len(talk.dialogues)))
    model.dimensions = _dimensions(parts, talk)
    heard = _heard(parts, model.fusion, talk)
    said = talk.said()
    figures = Figures.of(heard, said)
    terms = parts.data.terms
    bundle = Bundle(
        name=terms.name,
        version=terms.version,
        model=model.eval(),
        calibration=figures.calibration,
        threshold=figures.threshold,
        thresholds=figures.thresholds,
        tokenizer=parts.tokenizer,
        card=card(terms, figures, settings),
        license=terms.licence,
        languages=("en",),
    )
    bundle.save(out)
    (out / "figures.json").write_text(json.dumps(figures.to_json(), indent=2) + "\n")
    write_provenance(
        out / "bundle.run.json",
        seed=parts.seed,
        settings=settings,
        data={"speech": parts.data.sha256},
    )
    return bundle


def _model(parts: Parts) -> LateFusion:
    config = LateFusionConfig(
        labels=LABELS,
        audio=parts.encoder.config,
        text=parts.text.config,
        window=parts.fusion.window,
        decay=parts.fusion.decay,
        dimensions=("valence", "arousal"),
    )
    model = LateFusion(config)
    parts.encoder.head = parts.scorers.final.head
    model.audio, model.text = parts.encoder, parts.text
    model.audio_scores = parts.scorers.final.scores
    rows = slice(0, len(LABELS))
    model.text_scores.weight.data = parts.classifier.weight.data[rows].clone()
    model.text_scores.bias.data = parts.classifier.bias.data[rows].clone()
    return model


class _Talk:
    """The written dialogues with voices: of unknown training speakers to fit, of development speakers to measure."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.dialogues: list[TextDialogue] = parts.data.dialogues(parts.seed)
        said = [turn.text for dialogue in self.dialogues for turn in dialogue.turns]
        noise, rng = RecogniserNoise(said), np.random.default_rng((parts.seed, 9))
        self.embeddings = self._embedded(said)
        self.clear = self._scores(self.embeddings)
        self.noisy = self._scores(self._embedded([noise(text, NOISE, rng) for text in said]))
        self.unknown, self.clips = _unknown_scores(parts)
        self._training = ClipBank(self.clips, self.unknown)
        pieces = parts.data.groups["development"]
        allowed = [
            i for i, clip in enumerate(parts.data.clips_of(pieces)) if parts.data.terms.allows(clip)
        ]
        versions = [
            score(parts.scorers.final, parts.bank.of("development", version)[allowed])
            for version in (Version.WHOLE, Version.STRETCH)
        ]
        clips = [parts.data.speech.clip(pieces[i]) for i in allowed]
        self._development = ClipBank(clips, torch.stack(versions[:1]))
        self._calm = _calm_scores(parts)

    def fusion(self, chosen: Sequence[int]) -> ScoreFusion:
        """Fit the fusion on some of the dialogues."""
        settings = self._parts.fusion
        rng = np.random.default_rng((self._parts.seed, 5))
        texts = torch.stack([self.clear, self.noisy])
        neutral = self.clear[self._is("neutral")]
        composed: list[LabelledDialogue] = [
            voiced(self.dialogues[i], texts[:, self._rows(i)], self._training, _COMPOSITION, rng)
            for _ in range(settings.casts)
            for i in chosen
        ]
        composed += [
            clip_call(self._training, neutral, _COMPOSITION, rng)
            for _ in range(settings.clip_calls)
        ]
        target = self._calm_target()
        composed += [
            calm_call(self._calm, neutral, target, rng) for _ in range(settings.calm_calls)
        ]
        return fit_fusion(composed, settings, seed=self._parts.seed)

    def said(self) -> list[Said]:
        """Scores of all labelled turns, those of each half by a fusion fitted on the other."""
        results = []
        for half in range(_HALVES):
            mine = [i for i in range(len(self.dialogues)) if i % _HALVES == half]
            others = [i for i in range(len(self.dialogues)) if i % _HALVES != half]
            fusion = self.fusion(others)
            rng = np.random.default_rng((self._parts.seed, 9, half))
            for i in mine:
                results += self._turns(i, fusion, rng)
        return results

    def _turns(self, number: int, fusion: ScoreFusion, rng: np.random.Generator) -> list[Said]:
        dialogue, size = self.dialogues[number], self._parts.fusion.window
        truth = [turn.emotion4 for turn in dialogue.turns]
        results = []
        for texts, condition in ((self.clear, "clear"), (self.noisy, "noisy")):
            text = texts[None, self._rows(number)]
            for bank, kind in ((None, "text"), (self._development, "audio+text")):
                plain = voiced(dialogue, text, bank, PLAIN, rng).plain()
                scores = fused(fusion, plain, size)
                has = plain.has_audio if bank is not None else plain.has_text
                results += [
                    Said(kind, condition, f"{dialogue.corpus}-{dialogue.name}", label, row)
                    for label, row, there in zip(truth, scores, has.tolist(), strict=True)
                    if label in LABELS and there
                ]
        return results

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        return embed_texts(self._parts.text, self._parts.tokenizer, texts)

    @torch.inference_mode()
    def _scores(self, embeddings: Tensor) -> Tensor:
        scores: Tensor = self._parts.classifier(embeddings)[:, : len(LABELS)]
        return scores.clone()

    def _rows(self, number: int) -> slice:
        start = sum(len(dialogue.turns) for dialogue in self.dialogues[:number])
        return slice(start, start + len(self.dialogues[number].turns))

    def _is(self, label: str) -> Tensor:
        turns = [turn for dialogue in self.dialogues for turn in dialogue.turns]
        return torch.tensor([turn.emotion4 == label for turn in turns])

    def targets(self) -> tuple[Tensor, Tensor]:
        """Which turns have one of our labels, bool [n], and the one-hot labels [n, classes]."""
        turns = [turn for dialogue in self.dialogues for turn in dialogue.turns]
        hot = torch.tensor([[float(t.emotion4 == label) for label in LABELS] for t in turns])
        return hot.any(dim=1), hot

    def _calm_target(self) -> Tensor:
        rest = (1 - CALM_TARGET) / (len(LABELS) - 1)
        return torch.tensor([CALM_TARGET if label == "neutral" else rest for label in LABELS])


@torch.inference_mode()
def score(scorer: Scorer, statistics: Tensor) -> Tensor:
    """Scores [n, classes] of statistics [n, values]."""
    scores: Tensor = scorer.scores(embed(scorer, statistics))
    return scores.clone()


def _unknown_scores(parts: Parts) -> tuple[Tensor, list[Clip]]:
    """Scores [versions, n, classes] of the training clips by heads that do not know the speaker, and the clips."""
    pieces = parts.data.groups["labelled"]
    learnt = [i for i, piece in enumerate(pieces) if piece in parts.scorers.fold]
    folds = torch.tensor([parts.scorers.fold[pieces[i]] for i in learnt])
    versions = []
    for version in (Version.WHOLE, Version.AUGMENTED, Version.SHORT):
        values = parts.bank.of("labelled", version)[learnt]
        each = torch.stack([score(scorer, values) for scorer in parts.scorers.apart])
        versions.append(each[folds, torch.arange(len(learnt))])
    return torch.stack(versions), [parts.data.speech.clip(pieces[i]) for i in learnt]


def _calm_scores(parts: Parts) -> Tensor:
    """Scores [versions, n, classes] of the calm pieces to learn from, by heads that do not know the speaker."""
    pieces = parts.data.groups["calm"]
    learnt = [i for i, piece in enumerate(pieces) if piece in parts.scorers.fold]
    folds = torch.tensor([parts.scorers.fold[pieces[i]] for i in learnt])
    versions = []
    for version in (Version.LIVE, Version.AUGMENTED):
        values = parts.bank.of("calm", version)[learnt]
        each = torch.stack([score(scorer, values) for scorer in parts.scorers.apart])
        versions.append(each[folds, torch.arange(len(learnt))])
    return torch.stack(versions)


@torch.inference_mode()
def _heard(parts: Parts, fusion: ScoreFusion, talk: _Talk) -> Heard:
    """Return what audio alone says of the development clips, of calm speech kept apart, and of the recorded calls."""
    data, bank, scorers = parts.data, parts.bank, parts.scorers
    bias, weight = fusion.bias[0], fusion.weights[0, 0]

    def scored(scorer: Scorer, values: Tensor) -> Tensor:
        return score(scorer, values) * weight + bias

    apart = data.groups["apart"]
    calls = data.groups["calls"]
    values = bank.of("calls", Version.LIVE)
    folds = torch.tensor([scorers.fold[piece] for piece in calls])
    each = torch.stack([scored(scorer, values) for scorer in scorers.apart])
    development = data.clips_of(data.groups["development"])
    return Heard(
        clips=development,
        allowed=[data.terms.allows(clip) for clip in development],
        scores={
            name: scored(scorers.final, bank.of("development", version))
            for name, version in (
                ("whole", Version.WHOLE),
                ("0.4-1.3 s", Version.STRETCH),
                ("telephone", Version.TELEPHONE),
            )
        },
        unknown=talk.clips,
        unknown_scores=talk.unknown[0] * weight + bias,
        votes=data.votes(data.groups["development"]),
        people=data.people(data.groups["development"]),
        strange=_strange_scores(parts, scored),
        calm=[(data.speech.clip(piece), piece.stop - piece.start) for piece in apart],
        calm_scores=scored(scorers.final, bank.of("apart", Version.LIVE)),
        calls=[data.speech.clip(piece) for piece in calls],
        calls_hours=data.speech.call_hours(),
        calls_scores=each[folds, torch.arange(len(calls))],
    )


def _strange_scores(parts: Parts, scored: Callable[[Scorer, Tensor], Tensor]) -> dict[str, Tensor]:
    """Scores [n, classes] of development sounds that are no speech of ours, by corpus."""
    pieces = parts.data.groups["strange"]
    scores = scored(parts.scorers.final, parts.bank.of("strange", Version.WHOLE))
    corpora = [clip.corpus for clip in parts.data.clips_of(pieces)]
    return {
        name: scores[[i for i, corpus in enumerate(corpora) if corpus == name]]
        for name in sorted(set(corpora))
    }


def _dimensions(parts: Parts, talk: _Talk) -> "DimensionHead":
    pieces = parts.data.groups["labelled"]
    learnt = [i for i, piece in enumerate(pieces) if piece in parts.scorers.fold]
    generator = torch.Generator().manual_seed(parts.seed)
    rows = [learnt[i] for i in torch.randperm(len(learnt), generator=generator)[:_DIMENSION_ROWS]]
    audio = embed(parts.scorers.final, parts.bank.of("labelled", Version.AUGMENTED)[rows])
    targets = parts.data.targets([pieces[i] for i in rows], votes=0.5, calm=CALM_TARGET)
    rated, ratings = parts.data.rated_texts(_DIMENSION_ROWS)
    labelled, hot = talk.targets()
    text = torch.cat([talk.embeddings[labelled], embed_texts(parts.text, parts.tokenizer, rated)])
    of_text = torch.cat([targets_of(hot[labelled], LABELS), ratings])
    return fit_dimensions(audio, targets_of(targets, LABELS), text, of_text, seed=parts.seed)
