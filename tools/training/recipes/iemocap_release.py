"""`python -m tools.train iemocap-release`: the research benchmark from the corpus as it is released."""

import argparse
from functools import partial
from pathlib import Path

from streamer.errors import UserError
from tools.data.iemocap_release import read_release, release_hash, wave_path
from tools.evaluate.details import KEY, to_json
from tools.evaluate.dyadic import Conditions, judged
from tools.evaluate.metrics import grouped_report
from tools.evaluate.output import bundle_identity, print_table, write_json
from tools.training.provenance import write_provenance
from tools.training.recipes.dyadic import train_dyadic
from tools.training.recipes.dyadic_settings import DyadicSettings
from tools.training.recipes.iemocap import sessions
from tools.training.tasks.waves import WaveStage

NAME = "iemocap-release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--root", type=Path, required=True, help="IEMOCAP_full_release, which holds Session1, ..."
    )
    parser.add_argument(
        "--sessions", type=sessions, required=True, help="to learn from, such as 1,2,3,4"
    )
    parser.add_argument("--test", type=sessions, default=(), help="sessions to judge afterwards")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the bundle; a run that was interrupted goes on when started again with the same --out",
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures of --test to this file")


def run(arguments: argparse.Namespace) -> None:
    """Train, and judge if asked to."""
    if both := sorted(set(arguments.sessions) & set(arguments.test)):
        raise UserError(f"session {both[0]} is both learned from and judged")
    root = arguments.root
    dialogues = read_release(root, arguments.sessions)
    held = read_release(root, arguments.test)
    if not any(wave_path(root, utterance).is_file() for d in dialogues for utterance in d):
        raise UserError(f"{root}: no waveform under SessionN/sentences/wav/DIALOGUE")
    stage, settings = WaveStage(partial(wave_path, root)), DyadicSettings()
    write_provenance(
        arguments.out / "run.json",
        seed=arguments.seed,
        settings={
            **settings.as_dict(),
            "audio": stage.settings(),
            "sessions": arguments.sessions,
        },
        data={"release": release_hash(root, dialogues)},
    )
    trained = train_dyadic(
        dialogues, stage, arguments.out, name=NAME, seed=arguments.seed, settings=settings
    )
    print(f"{arguments.out}: trained on sessions {', '.join(map(str, arguments.sessions))}")
    if not held:
        return
    judgements, utterances = judged(trained.causal, trained.audio_stage, held, Conditions())
    result = grouped_report(
        judgements,
        {
            "scenario": [utterance.scenario for utterance in utterances],
            "speaker": [utterance.speaker for utterance in utterances],
        },
    )
    result["bundle"] = bundle_identity(arguments.out)
    result[KEY] = to_json(judgements)
    print_table(f"{NAME}, sessions {arguments.test}", result, trained.causal.bundle.model.labels)
    write_json(arguments.json, result)
