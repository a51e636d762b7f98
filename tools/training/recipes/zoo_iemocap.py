"""`python -m tools.train zoo-iemocap NAME`: a system of the zoo on IEMOCAP's features, one session left out in turn.

The corpus comes without waveforms and videos: audio is log-mel frames of 64 bands, averaged to 96 ms, text is the
reference transcript through the frozen encoder of a bundle. Four emotions; an utterance of another one is context only.
Figures: each utterance by itself, as most papers do, and with the past of its dialogue; over utterances drawn at random
too (`random_split`), as papers do that let speakers stand on both sides. Systems that estimate dimensions learn the
corpus's own ratings. What learns from IEMOCAP is not shipped. What a fold gave is kept when it is finished; an
interrupted run goes on from there.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer.errors import UserError
from streamer_models.contract import UtteranceEmbedding
from streamer_models.encoders.mel_frames import MelFramesConfig
from streamer_models.registry import SYSTEMS
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets, UtteranceSystem
from tools.data.iemocap import BANDS as MEL_BANDS
from tools.data.iemocap import LABELS
from tools.evaluate.concordance import concordance_report
from tools.evaluate.output import load_bundle
from tools.training.loop import StagePace, fit
from tools.training.recipes.zoo_evaluation import dimensions_of, figures_of, scores
from tools.training.recipes.zoo_iemocap_dialogues import DialogueSettings, judge_dialogues
from tools.training.recipes.zoo_material import BANDS
from tools.training.reporting import add_common_arguments, report
from tools.training.resume import finished
from tools.training.tasks.rated_texts import DIMENSIONS
from tools.training.tasks.zoo_dialogues import (
    CONTEXT_PACE,
    UNKNOWN,
    Dialogue,
    Vectors,
    context_scores,
    learn_context,
)
from tools.training.tasks.zoo_encoders import FrozenText, frozen_text
from tools.training.tasks.zoo_iemocap_data import JOINED, read_corpus
from tools.training.tasks.zoo_stages import staged

_RANDOM_FOLDS = 5
IN_DIALOGUES = "dutta2022"
"""The system that has stages of its own for conversations."""
DIMENSIONAL = ("dimensions", "dimensions_after_stages")
"""Figures that are concordances with the ratings."""


@dataclass(frozen=True)
class IemocapSettings(StagePace):
    """Pace of a fold."""

    context: int = 8


@dataclass(frozen=True)
class Labelled:
    """An utterance to learn from or to judge."""

    said: UtteranceEmbedding
    label: int
    rating: tuple[float, float]
    dialogue: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", choices=SYSTEMS.names(), help="the system")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with utterances.csv.gz and logmel64_*.npz"
    )
    add_common_arguments(
        parser,
        out="where unfinished work is kept",
        backbones="bundle whose text encoder makes the tokens (default %(default)s)",
        default="streamer-en-2",
    )
    parser.add_argument("--sessions", default="1,2,3,4", help="their numbers (default %(default)s)")
    parser.add_argument("--random-split", action="store_true", help="utterances at random, too")
    parser.add_argument("--epochs", type=int, default=IemocapSettings.epochs, help="passes")


def run(arguments: argparse.Namespace) -> None:
    """Train a model for each fold and print the figures of all together."""
    torch.set_num_threads(arguments.threads)
    reads = SYSTEMS.find(arguments.name).config_class().text is not None
    text = frozen_text(load_bundle(arguments.backbones)) if reads else None
    sessions = sorted(int(part) for part in arguments.sessions.split(","))
    dialogues = read_corpus(arguments.data, sessions, text, arguments.cache)
    result = protocol(
        arguments.name,
        dialogues,
        text,
        IemocapSettings(epochs=arguments.epochs),
        arguments.out,
        seed=arguments.seed,
        random_split=arguments.random_split,
    )
    report(arguments, result)


def protocol(
    name: str,
    dialogues: Sequence[Dialogue],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    *,
    seed: int,
    random_split: bool = False,
) -> dict[str, Any]:
    """Return the figures of a system: by session, by itself and with the past; of a random split if asked for.

    Args:
        name: In the registry.
        dialogues: Of all sessions.
        text: Made the tokens; None for systems that read none.
        settings: Pace.
        out: Where unfinished work is kept.
        seed: Of all that is random.
        random_split: Whether to judge utterances of speakers that were learnt from, too.
    """
    watch = time.process_time()
    sessions = sorted({dialogue.name[:5] for dialogue in dialogues})
    judged: dict[str, list[Tensor]] = defaultdict(list)
    for fold, session in enumerate(sessions):
        learnt = [d for d in dialogues if not d.name.startswith(session)]
        held = [d for d in dialogues if d.name.startswith(session)]
        place, fold_seed = out / session, seed * 10 + fold
        if name == IN_DIALOGUES:
            pace = DialogueSettings(window=2 * settings.context)
            judge = partial(judge_dialogues, learnt, held, pace, place, seed=fold_seed)
        else:
            judge = partial(_judge, name, learnt, held, text, settings, place, fold_seed)
        identity = {"name": name, "settings": asdict(settings), "seed": seed, "learnt": len(learnt)}
        found = finished(place.with_suffix(".safetensors"), identity, judge)
        for key, rows in found.items():
            judged[key].append(rows)
    figures: dict[str, Any] = {}
    for key, parts in judged.items():
        if key in DIMENSIONAL:
            figures[key] = _concordance(torch.cat(parts), dialogues)
        else:
            figures[key] = _figures_by_session(torch.cat(parts), labelled(dialogues))
    if random_split:
        figures["random_split"] = _random_split(name, dialogues, text, settings, out, seed)
    minutes = round((time.process_time() - watch) / 60, 1)
    return {
        "name": name,
        "seed": seed,
        "settings": asdict(settings),
        "cpu_minutes": minutes,
        **figures,
    }


def _judge(
    name: str,
    learnt: Sequence[Dialogue],
    held: Sequence[Dialogue],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> dict[str, Tensor]:
    """Train a system on some dialogues; return its logits of others, and dimensions where it estimates them."""
    model = _trained(name, labelled(learnt), text, settings, out, seed)
    found = {"session_left_out": scores(model, [each.said for each in labelled(held)])}
    if model.past is not None:
        vectors = Vectors.of(model, held)
        _learn_past(model, learnt, settings, out, seed)
        found["with_the_past"] = context_scores(model, vectors, size=model.window)
    if model.dimensions is not None:
        estimate = partial(dimensions_of, model)
        found["dimensions"] = estimate([u for d in held for u in d.said])
        found["dimensions_after_stages"] = staged(estimate, learnt, held)
    return found


def _figures_by_session(logits: Tensor, examples: Sequence[Labelled]) -> dict[str, Any]:
    """Figures of all, and the unweighted accuracy of each session."""
    truth = torch.tensor([each.label for each in examples])
    groups = [each.dialogue for each in examples]
    sessions = np.array([name[:5] for name in groups])
    apart = {}
    for session in sorted(set(sessions.tolist())):
        at = np.flatnonzero(sessions == session).tolist()
        found = figures_of(logits[at], truth[at], [groups[place] for place in at])
        apart[session] = {"n": found["n"], "ua": found["ua"]}
    return {**figures_of(logits, truth, groups), "sessions": apart}


def _concordance(estimated: Tensor, dialogues: Sequence[Dialogue]) -> dict[str, Any]:
    """CCC with the ratings of all utterances, whatever their emotion."""
    rated = torch.tensor([rating for d in dialogues for rating in d.ratings])
    groups = [d.name for d in dialogues for _ in d.ratings]
    return concordance_report(
        estimated.double().numpy(), rated.double().numpy(), groups, DIMENSIONS
    )


def _random_split(
    name: str,
    dialogues: Sequence[Dialogue],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """One fifth of the utterances, drawn at random, judged by what learns from the others."""
    every = labelled(dialogues)
    order = np.random.default_rng((seed, 7)).permutation(len(every)).tolist()
    held = [every[place] for place in sorted(order[: len(every) // _RANDOM_FOLDS])]
    learnt = [every[place] for place in sorted(order[len(every) // _RANDOM_FOLDS :])]

    def judge() -> dict[str, Tensor]:
        model = _trained(name, learnt, text, settings, out / "random", seed)
        return {"logits": scores(model, [each.said for each in held])}

    identity = {"name": name, "settings": asdict(settings), "seed": seed, "learnt": len(learnt)}
    logits = finished(out / "random.safetensors", identity, judge)["logits"]
    truth = torch.tensor([each.label for each in held])
    return figures_of(logits, truth, [each.dialogue for each in held])


def _trained(
    name: str,
    learnt: Sequence[Labelled],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> UtteranceSystem:
    """Train a system on labelled utterances."""
    system = SYSTEMS.find(name)
    fields = getattr(system.config_class, "model_fields", {})
    if not issubclass(system, UtteranceSystem):
        raise UserError(f"{name}: not a system that this recipe can train")
    changes: dict[str, Any] = {"labels": LABELS, "audio": MelFramesConfig(embedding=MEL_BANDS)}
    if text is not None:
        changes["text"] = text.tokens.config
        changes["context"] = 1 if name in BANDS else settings.context
    if "segment" in fields:
        changes["segment"] = JOINED
    torch.manual_seed(seed)
    model: UtteranceSystem = system(system.config_class(**changes))
    model.audio = model.text = None
    labels = torch.tensor([each.label for each in learnt])
    ratings = torch.tensor([each.rating for each in learnt])

    def loss(places: list[int]) -> Tensor:
        windows = [(learnt[place].said,) for place in places]
        batch = Utterances.of(windows, model.config.sizes, model.device)
        return model.loss(batch, Targets(labels[places], dimensions=ratings[places]))

    fit(
        model,
        range(len(learnt)),
        loss,
        settings,
        kept=out / "unfinished.safetensors",
        identity={"name": name, "settings": asdict(settings), "n": len(learnt), "seed": seed},
        seed=seed,
        title=f"{name} {out.name}",
    )
    return model.eval()


def _learn_past(
    model: UtteranceSystem,
    learnt: Sequence[Dialogue],
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> None:
    learn_context(
        model,
        Vectors.of(model, learnt),
        CONTEXT_PACE,
        kept=out / "unfinished-context.safetensors",
        identity={"settings": asdict(settings), "n": len(learnt), "seed": seed},
        seed=seed,
    )


def labelled(dialogues: Sequence[Dialogue]) -> list[Labelled]:
    """Return the utterances with a label."""
    return [
        Labelled(*each, dialogue.name)
        for dialogue in dialogues
        for each in zip(dialogue.said, dialogue.labels, dialogue.ratings, strict=True)
        if each[1] != UNKNOWN
    ]
