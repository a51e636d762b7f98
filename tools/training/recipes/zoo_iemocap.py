"""`python -m tools.train zoo-iemocap NAME`: a system of the zoo on IEMOCAP's features, one session left out in turn.

The corpus comes without waveforms and videos: audio is log-mel frames of 64 bands, averaged to 96 ms, text is the
reference transcript through the frozen encoder of a bundle. Four emotions; an utterance of another one is context only.
Figures: each utterance by itself, as most papers do, and with the past of its dialogue; over utterances drawn at random
too (`random_split`), as papers do that let speakers stand on both sides. What learns from IEMOCAP is not shipped.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
from tools.data.cache import DEFAULT_CACHE
from tools.data.iemocap import LABELS, Utterance, data_hashes, read_features, read_utterances
from tools.evaluate.output import load_bundle, write_json
from tools.progress import progress
from tools.training.loop import fit
from tools.training.recipes.zoo_evaluation import figures_of, scores
from tools.training.recipes.zoo_material import BANDS
from tools.training.tasks.zoo_data import AFFECT, kept_features
from tools.training.tasks.zoo_dialogues import (
    UNKNOWN,
    ContextSettings,
    Dialogue,
    Vectors,
    context_scores,
    learn_context,
)
from tools.training.tasks.zoo_encoders import FrozenText, frozen_text

JOINED = 3
"""Frames of 32 ms that are averaged to one."""
MOST_FRAMES = 62
"""Six seconds."""
_BANDS = 64
_RANDOM_FOLDS = 5


@dataclass(frozen=True)
class IemocapSettings:
    """Pace of a fold."""

    epochs: int = 5
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    context: int = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("name", choices=SYSTEMS.names(), help="the system")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with utterances.csv.gz and logmel64_*.npz"
    )
    parser.add_argument("--out", type=Path, required=True, help="where unfinished work is kept")
    parser.add_argument("--sessions", default="1,2,3,4", help="their numbers (default %(default)s)")
    parser.add_argument("--random-split", action="store_true", help="utterances at random, too")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--epochs", type=int, default=IemocapSettings.epochs, help="passes")
    parser.add_argument(
        "--backbones",
        default="streamer-en-2",
        help="bundle whose text encoder makes the tokens (default %(default)s)",
    )
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="for the tokens")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


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
    write_json(arguments.json, result)
    print(json.dumps(result, indent=2))


def read_corpus(
    folder: Path, sessions: Sequence[int], text: FrozenText | None, cache: Path
) -> list[Dialogue]:
    """The dialogues of some sessions; the name of each begins with its session, as in Ses01.

    Args:
        folder: Holds the features.
        sessions: Their numbers.
        text: Makes the tokens; None: utterances have no text.
        cache: Where tokens are kept.

    Raises:
        UserError: A file is missing or damaged.
    """
    read = read_utterances(folder, sessions)
    everyone = [utterance for dialogue in read for utterance in dialogue]
    features = read_features(folder, everyone)
    tokens = iter(_tokens(folder, sessions, everyone, text, cache))
    dialogues = []
    for dialogue in read:
        people = sorted({utterance.speaker for utterance in dialogue})
        said = [
            UtteranceEmbedding(
                people.index(u.speaker),
                audio=_frames(features.frames(u)) if u in features else None,
                text=next(tokens, None),
            )
            for u in dialogue
        ]
        labels = [LABELS.index(u.emotion4) if u.emotion4 else UNKNOWN for u in dialogue]
        dialogues.append(Dialogue(dialogue[0].dialogue, said, labels))
    return dialogues


def _tokens(
    folder: Path,
    sessions: Sequence[int],
    utterances: Sequence[Utterance],
    text: FrozenText | None,
    cache: Path,
) -> list[Tensor]:
    """Tokens of all utterances, float32; none without an encoder."""
    if text is None:
        return []
    key = {"iemocap": data_hashes(folder, sessions), "weights": text.key}

    def make() -> list[Tensor]:
        return [text.embed(each.text) for each in progress(utterances, "Reading")]

    return [tokens.float() for tokens in kept_features(cache, "tokens", key, make)]


def _frames(stored: Any) -> Tensor:
    """Frames uint8 [F, 64] -> [ceil(F / 3), 64] around zero."""
    frames = torch.from_numpy(np.asarray(stored, np.float32))[: JOINED * MOST_FRAMES]
    means = torch.stack([piece.mean(dim=0) for piece in torch.split(frames, JOINED)])
    return (means - means.mean()) / 8


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
    """The figures of a system: by session, by itself and with the past; and of a random split if that is asked for.

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
    alone: list[Tensor] = []
    past: list[Tensor] = []
    truth: list[Tensor] = []
    groups: list[str] = []
    for fold, session in enumerate(sessions):
        learnt = [d for d in dialogues if not d.name.startswith(session)]
        held = [d for d in dialogues if d.name.startswith(session)]
        pairs = _labelled(learnt)
        model = _trained(name, pairs, text, settings, out / session, seed * 10 + fold)
        said = _labelled(held)
        alone.append(scores(model, [each for each, _ in said]))
        truth.append(torch.tensor([label for _, label in said]))
        groups += [d.name for d in held for label in d.labels if label != UNKNOWN]
        if model.past is not None:
            vectors = Vectors.of(model, held)
            _learn_past(model, learnt, settings, out / session, seed * 10 + fold)
            past.append(context_scores(model, vectors, size=model.window))
    labels = torch.cat(truth)
    figures = {"session_left_out": figures_of(torch.cat(alone), labels, groups)}
    if past:
        figures["with_the_past"] = figures_of(torch.cat(past), labels, groups)
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


def _random_split(
    name: str,
    dialogues: Sequence[Dialogue],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """One fifth of the utterances, drawn at random, judged by what learns from the others."""
    pairs = _labelled(dialogues)
    groups = [d.name for d in dialogues for label in d.labels if label != UNKNOWN]
    order = np.random.default_rng((seed, 7)).permutation(len(pairs)).tolist()
    held = sorted(order[: len(pairs) // _RANDOM_FOLDS])
    learnt = [pairs[place] for place in sorted(order[len(held) :])]
    model = _trained(name, learnt, text, settings, out / "random", seed)
    logits = scores(model, [pairs[place][0] for place in held])
    truth = torch.tensor([pairs[place][1] for place in held])
    return figures_of(logits, truth, [groups[place] for place in held])


def _trained(
    name: str,
    pairs: Sequence[tuple[UtteranceEmbedding, int]],
    text: FrozenText | None,
    settings: IemocapSettings,
    out: Path,
    seed: int,
) -> UtteranceSystem:
    """A system that has learnt from labelled utterances."""
    system = SYSTEMS.find(name)
    fields = getattr(system.config_class, "model_fields", {})
    if not issubclass(system, UtteranceSystem):
        raise UserError(f"{name}: not a system that this recipe can train")
    changes: dict[str, Any] = {"labels": LABELS, "audio": MelFramesConfig(embedding=_BANDS)}
    if text is not None:
        changes["text"] = text.tokens.config
        changes["context"] = 1 if name in BANDS else settings.context
    if "segment" in fields:
        changes["segment"] = JOINED
    torch.manual_seed(seed)
    model: UtteranceSystem = system(system.config_class(**changes))
    model.audio = model.text = None
    labels = torch.tensor([label for _, label in pairs])
    affect = torch.tensor([AFFECT[LABELS[label]] for label in labels.tolist()])

    def loss(places: list[int]) -> Tensor:
        windows = [(pairs[place][0],) for place in places]
        batch = Utterances.of(windows, model.config.sizes, model.device)
        return model.loss(batch, Targets(labels[places], dimensions=affect[places]))

    fit(
        model,
        range(len(pairs)),
        loss,
        settings,
        kept=out / "unfinished.safetensors",
        identity={"name": name, "settings": asdict(settings), "n": len(pairs), "seed": seed},
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
        ContextSettings(),
        kept=out / "unfinished-context.safetensors",
        identity={"settings": asdict(settings), "n": len(learnt), "seed": seed},
        seed=seed,
    )


def _labelled(dialogues: Sequence[Dialogue]) -> list[tuple[UtteranceEmbedding, int]]:
    """Utterances with a label, and it."""
    return [
        (said, label)
        for dialogue in dialogues
        for said, label in zip(dialogue.said, dialogue.labels, strict=True)
        if label != UNKNOWN
    ]
