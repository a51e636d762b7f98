"""`python -m tools.train labels`: a bundle of Whisper's encoder, MiniLM and late fusion.

statistics  of Whisper's layers over all pieces of speech, in several versions (kept in --cache)
scorer      the audio head and its classifier, once on all training speakers and once without each fold of them
text        the text encoder, on comments and then, where the terms allow, on talk
fusion      the weights of both modalities and of the past, on composed dialogues of unknown voices and texts
bundle      calibrated, described, written to --out

Finished stages in --out are kept. The recordings of calls are cut where the segmenter does; make their events first:
`streamer replay --speed max --quiet --set asr.backend=none --jsonl EVENTS/ DATA/calls/*.ogg`.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_gru import BertGru
from streamer_models.encoders.whisper import Whisper, WhisperConfig
from streamer_models.tokenizer import TextTokenizer
from tools.data.cache import DEFAULT_CACHE
from tools.data.hypotheses import read_hypotheses
from tools.data.manifest import Clip
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.folds import speaker_folds
from tools.training.recipes.label_assembly import Parts, assemble
from tools.training.recipes.label_data import TERMS, LabelData
from tools.training.recipes.open_dialogues import LABELS, OTHER
from tools.training.tasks import text as text_stage
from tools.training.tasks.score_fusion import FusionSettings
from tools.training.tasks.speech_pieces import Piece, Version
from tools.training.tasks.speech_statistics import statistics
from tools.training.tasks.statistics_head import (
    CALM_TARGET,
    Examples,
    HeadSettings,
    Scorer,
    balanced,
    balanced_calm,
    train_scorer,
)
from tools.training.tasks.text import Start, TextSettings
from tools.training.tasks.text_noise import RecogniserNoise
from tools.training.tasks.whisper_weights import pretrained_whisper

FOLDS = 2
_CALM_VERSIONS = (Version.LIVE, Version.AUGMENTED, Version.SHORT)
LEARNT: Mapping[str, tuple[Version, ...]] = {
    "labelled": (Version.WHOLE, Version.AUGMENTED, Version.SHORT),
    "calm": _CALM_VERSIONS,
    "calls": _CALM_VERSIONS,
}
"""Group of pieces -> its versions to learn from."""


@dataclass(frozen=True)
class LabelSettings:
    """All that could be chosen otherwise, but for the terms."""

    head: HeadSettings = field(default_factory=HeadSettings)
    text: TextSettings = field(default_factory=lambda: TextSettings(epochs=2, utterances=12_000))
    talk: TextSettings = field(
        default_factory=lambda: TextSettings(epochs=2, utterances=12_000, noisy=0.5)
    )
    fusion: FusionSettings = field(default_factory=FusionSettings)
    share: float = 1.0
    """Of the draws of heads and texts; less in a trial."""

    def drawing(self, share: float) -> "LabelSettings":
        """Return the same with another share."""

        def fewer(stage: TextSettings) -> TextSettings:
            return replace(stage, utterances=round(share * (stage.utterances or 0)) or None)

        head = replace(self.head, draws=max(self.head.batch, round(share * self.head.draws)))
        return replace(self, head=head, text=fewer(self.text), talk=fewer(self.talk), share=share)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of speech/, conversations/, text/, calls/"
    )
    parser.add_argument(
        "--call-events", type=Path, required=True, help="events of DATA/calls, see above"
    )
    parser.add_argument(
        "--whisper", type=Path, required=True, help="folder of CTranslate2's Whisper tiny"
    )
    parser.add_argument(
        "--heard", type=Path, help="what a recogniser makes of talk, by tools.data.hypotheses"
    )
    parser.add_argument("--out", type=Path, required=True, help="where stages and bundle go")
    parser.add_argument("--bundle", choices=list(TERMS), default="streamer-en-2")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument(
        "--share",
        type=share,
        default=1.0,
        help="a trial: learn from this share of the labelled clips, in as few draws (default 1)",
    )
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="clips, statistics (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def share(text: str) -> float:
    """Return a number above 0, at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise ValueError
    return value


def run(arguments: argparse.Namespace) -> None:
    """Trains the bundle."""
    torch.set_num_threads(arguments.threads)
    terms = TERMS[arguments.bundle]
    heard = read_hypotheses(arguments.heard) if arguments.heard else {}
    data = LabelData(
        arguments.data, arguments.call_events, arguments.cache, terms, heard, arguments.share
    )
    settings = LabelSettings(head=HeadSettings(calm=terms.calm)).drawing(arguments.share)
    config = WhisperConfig(hidden=settings.head.hidden, dropout=settings.head.dropout)
    encoder = pretrained_whisper(arguments.whisper, config)
    kept = arguments.cache / f"statistics-{data.sha256[:16]}"
    train_labels(data, encoder, settings, arguments.out, kept, seed=arguments.seed)


def train_labels(
    data: LabelData,
    encoder: Whisper,
    settings: LabelSettings,
    out: Path,
    kept: Path,
    *,
    seed: int,
    start: Start | None = None,
) -> Bundle:
    """Train all stages that `out` lacks, and write the bundle there.

    Args:
        data: To learn from and to measure on.
        encoder: Its backbone stays as it is.
        settings: How.
        out: Folder of the stages and the bundle.
        kept: Folder of the statistics.
        seed: Of everything random.
        start: See `train_texts`.
    """
    bank = StatisticsBank(data, encoder, kept)
    scorers = Scorers(data, bank, encoder.config, settings.head, out / "audio", seed)
    text, classifier, tokenizer = train_texts(data, settings, out, seed, start)
    parts = Parts(data, bank, encoder, scorers, text, classifier, tokenizer, settings.fusion, seed)
    return assemble(parts, out, {"bundle": data.terms.name, "seed": seed, **asdict(settings)})


class StatisticsBank:
    """Statistics of the groups of pieces in versions, from the cache or computed.

    Args:
        data: Where the pieces are from.
        encoder: Of which the backbone counts.
        folder: Of the cache.
    """

    def __init__(self, data: LabelData, encoder: Whisper, folder: Path) -> None:
        self._data, self._encoder, self._folder = data, encoder, folder

    def of(self, group: str, version: Version) -> Tensor:
        """Of all pieces of a group (`LabelData.groups`), float16 [n, values]."""
        pieces = self._data.groups[group]
        return statistics(self._encoder, self._data.speech, pieces, version, self._folder)


class Scorers:
    """The audio heads: of all training speakers, and without each fold of speakers and of recorded calls.

    Args:
        data: To learn from.
        bank: Its statistics.
        config: Of the encoder.
        settings: How.
        out: Folder where they are kept.
        seed: Of everything random.
    """

    def __init__(
        self,
        data: LabelData,
        bank: StatisticsBank,
        config: WhisperConfig,
        settings: HeadSettings,
        out: Path,
        seed: int,
    ) -> None:
        self._data, self._bank, self._config = data, bank, config
        self._settings, self._out, self._seed = settings, out, seed
        learnt = [p for name in LEARNT for p in data.groups[name] if data.learns_from(p)]
        folds = speaker_folds(data.clips_of(learnt), FOLDS)
        self.fold = dict(zip(learnt, folds.tolist(), strict=True))
        """Fold of each piece to learn from."""
        self.final = self._trained(None)
        self.apart = [self._trained(fold) for fold in range(FOLDS)]

    def _trained(self, without: int | None) -> Scorer:
        name = "scorer" if without is None else f"scorer-without-{without}"
        path = self._out / f"{name}.safetensors"
        identity = {"seed": self._seed, "settings": asdict(self._settings), "n": len(self.fold)}
        scorer = Scorer(self._config, len(LABELS), self._settings.score_dropout)
        if path.is_file():
            tensors, found = load_checkpoint(path)
            if found == identity:
                scorer.load_state_dict(tensors)
                return scorer.eval()
        scorer = train_scorer(
            self._config,
            self._examples(without),
            self._settings,
            seed=self._seed,
            kept=self._out / f"{name}.progress.safetensors",
            title=name,
        )
        save_checkpoint(path, scorer.state_dict(), identity)
        return scorer

    def _examples(self, without: int | None) -> Examples:
        learnt: list[Piece] = []
        rows: list[Tensor] = []
        for group, versions in LEARNT.items():
            pieces = self._data.groups[group]
            places = [i for i, p in enumerate(pieces) if self.fold.get(p, without) != without]
            for version in versions:
                learnt += [pieces[place] for place in places]
                rows.append(self._bank.of(group, version)[places])
        targets = self._data.targets(learnt, self._settings.votes, CALM_TARGET)
        clips = self._data.clips_of(learnt)
        return Examples(torch.cat(rows), targets, _weights(clips, targets, self._settings.calm))


def train_texts(
    data: LabelData, settings: LabelSettings, out: Path, seed: int, start: Start | None = None
) -> tuple[BertGru, nn.Linear, TextTokenizer]:
    """Train the text encoder, in `out`/text and, on talk, in `out`/talk.

    Args:
        data: To learn from.
        settings: How.
        out: Where the stages go.
        seed: Of everything random.
        start: Encoder and tokenizer to begin with; None: MiniLM's.

    Returns:
        The encoder, its classifier of `LABELS` and `OTHER`, its tokenizer.
    """
    labels = (*LABELS, OTHER)
    comments = data.first_texts()
    text_stage.train_text(
        comments,
        labels,
        out / "text",
        seed=seed,
        resume=True,
        settings=settings.text,
        noise=RecogniserNoise(comments.texts),
        start=start,
    )
    if data.terms.open:
        return text_stage.load_text_stage(out / "text")
    encoder, _, tokenizer = text_stage.load_text_stage(out / "text")
    talk = data.talk_texts()
    text_stage.train_text(
        talk,
        labels,
        out / "talk",
        seed=seed,
        resume=True,
        settings=settings.talk,
        noise=RecogniserNoise(data.talk()),
        start=(encoder.train(), tokenizer),
    )
    return text_stage.load_text_stage(out / "talk")


def _weights(clips: Sequence[Clip], targets: Tensor, calm: float) -> NDArray[np.float64]:
    """Return how often each piece is drawn: the labelled ones together 1 - calm, the calm ones calm."""
    labelled = np.array([bool(clip.emotion4) for clip in clips])
    places, others = np.flatnonzero(labelled).tolist(), np.flatnonzero(~labelled).tolist()
    weights = np.zeros(len(clips))
    classes = targets.argmax(dim=1)[places].tolist()
    weights[places] = balanced([clips[i] for i in places], classes) * (1 - calm)
    weights[others] = balanced_calm([clips[i] for i in others]) * calm
    return np.asarray(weights / weights.sum())
