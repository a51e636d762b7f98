"""`python -m tools.train iemocap`: the research benchmark, four emotions in dyadic talk, on features and texts."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamer.errors import UserError
from streamer_models.heads.calibration import fit_temperature
from tools.data.iemocap import LABELS, data_hashes, read_features, read_utterances
from tools.evaluate.dyadic import Conditions, judged
from tools.evaluate.metrics import Judgements, grouped_report
from tools.evaluate.output import print_table, write_json
from tools.training.provenance import write_provenance
from tools.training.recipes.dyadic import train_dyadic
from tools.training.recipes.dyadic_encoders import AudioStage, Dialogues
from tools.training.recipes.dyadic_settings import DyadicSettings
from tools.training.tasks.acoustics import AcousticStage

NAME = "iemocap"
CROSS_VALIDATION = "cross_validation.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with utterances.csv.gz, logmel64_sessionN.npz and acoustic_stats.npz",
    )
    parser.add_argument(
        "--sessions", type=sessions, required=True, help="to learn from, such as 1,2,3,4"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the bundle; a run that was interrupted goes on when started again with the same --out",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument(
        "--cross-validate",
        choices=("session", "speaker"),
        help="instead of one bundle, one for each session, trained on the others and judged on it; with 'speaker' "
        "one person of the session is judged, the other one serves for calibration, in turns",
    )


def sessions(text: str) -> tuple[int, ...]:
    """Return the numbers in "1,2,3"."""
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 1,2,3,4") from None
    return numbers


def run(arguments: argparse.Namespace) -> None:
    """Train; with `--cross-validate`, judge too."""
    dialogues = read_utterances(arguments.data, arguments.sessions)
    audio = AcousticStage(read_features(arguments.data, [u for d in dialogues for u in d]))
    settings = DyadicSettings()
    write_provenance(
        arguments.out / "run.json",
        seed=arguments.seed,
        settings={
            **settings.as_dict(),
            "audio": audio.settings(),
            "sessions": arguments.sessions,
        },
        data=data_hashes(arguments.data, arguments.sessions),
    )
    if arguments.cross_validate is None:
        train_dyadic(
            dialogues, audio, arguments.out, name=NAME, seed=arguments.seed, settings=settings
        )
        print(f"{arguments.out}: trained on sessions {', '.join(map(str, arguments.sessions))}")
        return
    result = cross_validate(
        dialogues,
        audio,
        arguments.out,
        by_speaker=arguments.cross_validate == "speaker",
        seed=arguments.seed,
        settings=settings,
    )
    write_json(arguments.out / CROSS_VALIDATION, result)
    print_table(f"cross-validation by {arguments.cross_validate}", result, LABELS)


def folds(dialogues: Dialogues) -> list[tuple[str, Dialogues, Dialogues]]:
    """Return name, dialogues to learn from and those to judge, of each session in turn: no person is on both sides.

    Raises:
        UserError: There is only one session.
    """
    numbers = sorted({dialogue[0].session for dialogue in dialogues})
    if len(numbers) < 2:
        raise UserError("cross-validation needs two sessions at least")
    return [
        (
            f"session{number}",
            [d for d in dialogues if d[0].session != number],
            [d for d in dialogues if d[0].session == number],
        )
        for number in numbers
    ]


def cross_validate(
    dialogues: Dialogues,
    audio: AudioStage,
    out: Path,
    *,
    by_speaker: bool,
    seed: int,
    settings: DyadicSettings,
) -> dict[str, Any]:
    """Train a bundle for each fold; report all judgements together, the folds as groups."""
    parts: list[Judgements] = []
    names: list[str] = []
    for name, learned, held in folds(dialogues):
        trained = train_dyadic(learned, audio, out / name, name=NAME, seed=seed, settings=settings)
        judgements, utterances = judged(trained.causal, trained.audio_stage, held, Conditions())
        if not by_speaker:
            parts.append(judgements)
            names += [name] * len(utterances)
            continue
        speakers = np.asarray([utterance.speaker for utterance in utterances])
        for speaker in sorted(set(speakers.tolist())):
            mine = speakers == speaker
            parts.append(recalibrated(judgements.select(mine), judgements.select(~mine)))
            names += [speaker] * int(mine.sum())
    return grouped_report(joined(parts), {"fold": names})


def recalibrated(judgements: Judgements, others: Judgements) -> Judgements:
    """Return judgements with the temperature that is best for others'; as they are, if there are no others."""
    if not len(others.truth):
        return judgements
    logits = torch.from_numpy(others.probabilities).clamp(min=1e-9).log()
    temperature = fit_temperature(logits, torch.from_numpy(others.truth))
    logits = torch.from_numpy(judgements.probabilities).clamp(min=1e-9).log()
    return replace(judgements, probabilities=(logits / temperature).softmax(1).numpy())


def joined(parts: Sequence[Judgements]) -> Judgements:
    """Return judgements of the same classes, one after another."""
    return Judgements(
        parts[0].labels,
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        tuple(cluster for part in parts for cluster in part.clusters),
    )
