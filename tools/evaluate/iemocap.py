"""`python -m tools.evaluate iemocap`: a bundle of `train iemocap`, judged on other sessions."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UserError
from streamer_models.bundle import BundleError
from tools.data.iemocap import data_hashes, read_features, read_utterances
from tools.evaluate.details import KEY, to_json
from tools.evaluate.dyadic import Conditions, judged
from tools.evaluate.ensemble import Ensemble
from tools.evaluate.metrics import grouped_report
from tools.evaluate.output import abstention, bundle_identity, print_table, write_json
from tools.training.provenance import git_commit
from tools.training.recipes.dyadic import WHOLE
from tools.training.recipes.iemocap import sessions
from tools.training.tasks.acoustics import TrainedAcoustics, load_acoustics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="what train iemocap wrote")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with utterances.csv.gz, logmel64_sessionN.npz and acoustic_stats.npz",
    )
    parser.add_argument("--sessions", type=sessions, required=True, help="to judge, such as 5")
    parser.add_argument(
        "--context",
        choices=("none", "causal", "whole"),
        default="causal",
        help="none: each utterance alone; causal (default): with those before it; whole: with all of the dialogue, "
        "by its offline model, which has the paper's own form and does not know who speaks",
    )
    parser.add_argument(
        "--window", type=int, help="with causal: utterances in a window, by default the bundle's"
    )
    parser.add_argument(
        "--text",
        type=words,
        default=Words(),
        metavar="reference|none|noisy:RATE",
        help="transcripts as they are (default), none, or with recogniser-like errors at a word error rate",
    )
    parser.add_argument(
        "--audio", choices=("features", "none"), default="features", help="none: judge by text only"
    )
    parser.add_argument("--scenario", choices=("impro", "script"), help="judge this part only")
    parser.add_argument(
        "--alone",
        action="store_true",
        help="judge by the bundle's own model, not by the average with its others",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the errors in texts (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


@dataclass(frozen=True)
class Words:
    """What is known of the words."""

    given: bool = True
    noise: float = 0.0


def words(text: str) -> Words:
    """Read reference, none or noisy:RATE."""
    if text in ("reference", "none"):
        return Words(given=text == "reference")
    kind, _, rate = text.partition(":")
    try:
        if kind == "noisy" and 0 <= float(rate) <= 1:
            return Words(noise=float(rate))
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not reference, none, or noisy:RATE with a rate from 0 to 1"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    directory = arguments.bundle / WHOLE if arguments.context == "whole" else arguments.bundle
    try:
        ensemble = Ensemble.load(directory)
    except BundleError as error:
        raise UserError(str(error)) from error
    if arguments.window is not None and (arguments.context != "causal" or arguments.window < 1):
        raise UserError("--window goes with --context causal, and is 1 at least")
    if arguments.alone:
        ensemble = Ensemble(ensemble.bundle)
    bundle = ensemble.bundle
    window = 1 if arguments.context == "none" else arguments.window
    dialogues = read_utterances(arguments.data, arguments.sessions)
    if arguments.scenario:
        dialogues = [d for d in dialogues if d[0].scenario == arguments.scenario]
    if not any(utterance.emotion4 for d in dialogues for utterance in d):
        raise UserError(f"{arguments.data}: no utterance to judge has one of the four labels")
    features = read_features(arguments.data, [u for d in dialogues for u in d])
    audio_stage = TrainedAcoustics(features, load_acoustics(directory))
    conditions = Conditions(
        window=window,
        text=arguments.text.given,
        noise=arguments.text.noise,
        audio=arguments.audio == "features",
        seed=arguments.seed,
    )
    judgements, utterances = judged(ensemble, audio_stage, dialogues, conditions)
    result = grouped_report(
        judgements,
        {
            "scenario": [utterance.scenario for utterance in utterances],
            "speaker": [utterance.speaker for utterance in utterances],
            "session": [f"session{utterance.session}" for utterance in utterances],
        },
    )
    result["abstention"] = abstention(judgements, bundle.threshold, bundle.thresholds)
    result["bundle"] = bundle_identity(directory)
    result["run"] = {
        "settings": {
            **vars(conditions),
            "context": arguments.context,
            "models": 1 + len(ensemble.others),
        },
        "sessions": arguments.sessions,
        "data": data_hashes(arguments.data, arguments.sessions),
        "commit": git_commit(),
    }
    result[KEY] = to_json(judgements)
    print_table(f"{bundle.name}, sessions {arguments.sessions}", result, bundle.labels)
    write_json(arguments.json, result)
