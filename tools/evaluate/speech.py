"""`python -m tools.evaluate speech`: clips by audio alone, heard as the running program hears them."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.contract import AudioEncoder
from streamer_models.streaming import fast_form
from streamer_models.windows import Dialogue
from tools.data.augmentation import Wave
from tools.data.cache import DEFAULT_CACHE, DecodedClips, open_clips
from tools.data.manifest import Clip
from tools.data.votes import CREMAD_VOTES, read_votes
from tools.evaluate.conditions import CONDITIONS
from tools.evaluate.details import KEY, from_json, to_json
from tools.evaluate.histories import histories
from tools.evaluate.judging import judge
from tools.evaluate.metrics import Judgements, grouped_report, report
from tools.evaluate.output import (
    abstention,
    bundle_directory,
    bundle_identity,
    load_bundle,
    print_table,
    write_json,
)
from tools.progress import progress

TRAINING = "train"
_BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", default="streamer-en-2", help="name or directory of a bundle")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of clips with manifest.csv (path, speaker, emotion4; also corpus, gender, split)",
    )
    parser.add_argument(
        "--split", help="judge this part only; default: all that is not 'train', if there is any"
    )
    parser.add_argument(
        "--robustness",
        nargs="*",
        choices=list(CONDITIONS),
        metavar="CONDITION",
        help=f"judge each clip also as a live source has it: {', '.join(CONDITIONS)} (default: all of them)",
    )
    parser.add_argument(
        "--histories",
        action="store_true",
        help="judge the clips of each speaker also one after another in random order, with the past",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    directory = bundle_directory(arguments.bundle)
    bundle = load_bundle(arguments.bundle)
    speech = open_clips(arguments.data, arguments.cache)
    places = evaluated(speech.clips, bundle.labels, arguments.split)
    asked_for = arguments.robustness
    conditions = list(CONDITIONS) if asked_for == [] else asked_for or []
    result = evaluate(bundle, speech, places, conditions=conditions, in_order=arguments.histories)
    votes = read_votes(arguments.data / CREMAD_VOTES, bundle.labels)
    asked = by_votes(from_json(result[KEY]), [speech.clips[i] for i in places], votes)
    if asked:
        result["votes"] = asked
    result["bundle"] = bundle_identity(directory)
    print_table(f"{arguments.data}: audio alone", result, bundle.labels)
    for name, value in result["abstention"].items():
        print(f"abstention, {name}: {value}")
    for name, part in result.get("robustness", {}).items():
        print(
            f"{name}: ua {part['ua']} [{part['low']}-{part['high']}], change {part['ua_change']:+}, "
            f"other label {part['changed']:.1%}, ece {part['ece']}"
        )
    for kind, places_of in result.get("histories", {}).items():
        for place, part in places_of.items():
            print(f"{kind}, utterance {place}: n {part['n']}, {_ua_and_accuracy(part)}")
    if asked:
        print(f"against listeners' votes: n {asked['n']}, {_ua_and_accuracy(asked)}")
    write_json(arguments.json, result)


def evaluated(clips: Sequence[Clip], labels: Sequence[str], split: str | None) -> list[int]:
    """Return the places of the labelled clips of a part; without one, of all that no model has learnt from.

    Raises:
        UserError: There are none.
    """
    labelled = [i for i, clip in enumerate(clips) if clip.is_speech and clip.emotion4 in labels]
    if split is not None:
        chosen = [i for i in labelled if clips[i].split == split]
    else:
        chosen = [i for i in labelled if clips[i].split != TRAINING] or labelled
    if not chosen:
        parts = ", ".join(sorted({clips[i].split for i in labelled} - {""})) or "none"
        raise UserError(
            f"no clips with an emotion4 of {', '.join(labels)}; parts that have some: {parts}"
        )
    return chosen


def evaluate(
    bundle: Bundle,
    speech: DecodedClips,
    places: Sequence[int],
    *,
    conditions: Sequence[str] = (),
    in_order: bool = False,
) -> dict[str, Any]:
    """Return the report on clips, each heard alone, with corpora, sexes and speakers as groups.

    Args:
        bundle: A model that hears.
        speech: Decoded clips.
        places: Which of them.
        conditions: Of `CONDITIONS`. If any, `robustness` tells under each of them the unweighted accuracy, its change,
            and the share of clips that get another label.
        in_order: Adds `histories`.

    Raises:
        UserError: The bundle has no audio encoder.
    """
    encoder = bundle.model.audio
    if encoder is None:
        raise UserError(f"the bundle {bundle.name} does not hear: it has no audio encoder")
    encoder = fast_form(encoder)
    clips = [speech.clips[place] for place in places]

    def heard(change: Callable[[Wave], Wave], name: str) -> tuple[Judgements, Tensor]:
        embeddings = embed(encoder, [change(speech.wave(place)) for place in places], name)
        truth, speakers = [clip.emotion4 for clip in clips], [clip.speaker for clip in clips]
        said = _alone(bundle, embeddings)
        return Judgements.of(bundle.labels, truth, said, speakers), embeddings

    plain, embeddings = heard(lambda wave: wave, "as recorded")
    groups = {
        "corpus": [clip.corpus for clip in clips],
        "gender": [clip.gender for clip in clips],
        "speaker": [clip.speaker for clip in clips],
    }
    result = grouped_report(plain, groups)
    result["abstention"] = abstention(plain, bundle.threshold, bundle.thresholds)
    result[KEY] = to_json(plain)
    if conditions:
        result["robustness"] = {
            name: _compared(plain, heard(CONDITIONS[name], name)[0]) for name in conditions
        }
    if in_order:
        result["histories"] = histories(bundle, clips, embeddings)
    return result


def by_votes(
    judgements: Judgements, clips: Sequence[Clip], votes: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """Return the report against the label that most listeners hear in the voice; empty where nobody was asked.

    Args:
        judgements: Of n clips.
        clips: The clips.
        votes: Shares of the labels by the name of a clip.
    """
    heard = [votes.get(Path(clip.path).stem) for clip in clips]
    asked = np.array([row is not None for row in heard])
    if not asked.any():
        return {}
    truth = np.array([row.argmax() for row in heard if row is not None], np.int64)
    return report(replace(judgements.select(asked), truth=truth))


@torch.inference_mode()
def embed(encoder: AudioEncoder, waves: Sequence[Wave], name: str) -> Tensor:
    """Return embeddings [n, D] of waveforms, float32 at 16 kHz."""
    rows = torch.zeros(len(waves), encoder.embedding_size)
    order = sorted(range(len(waves)), key=lambda place: len(waves[place]))
    batches = [order[first : first + _BATCH] for first in range(0, len(order), _BATCH)]
    for batch in progress(batches, f"Listening to {len(waves)} clips, {name}"):
        pieces = [torch.from_numpy(waves[place]) for place in batch]
        lengths = torch.tensor([len(piece) for piece in pieces])
        padded = torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)
        rows[batch] = encoder(padded, lengths)
    return rows


def _alone(bundle: Bundle, embeddings: Tensor) -> NDArray[np.float64]:
    """Return calibrated probabilities [n, classes] of utterances that nothing came before and nobody transcribed."""
    yes, no = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    someone = torch.zeros(1, dtype=torch.int64)
    calls = [
        Dialogue(row[None], torch.zeros_like(row)[None], yes, no, someone) for row in embeddings
    ]
    return np.concatenate(judge(bundle, calls))


def _compared(plain: Judgements, changed: Judgements) -> dict[str, float]:
    before, after = _ua(plain), _ua(changed)
    measured = report(changed)
    return {
        "ua": round(after, 4),
        "low": measured["ua"]["low"],
        "high": measured["ua"]["high"],
        "ece": measured["ece"]["value"],
        "ua_change": round(after - before, 4),
        "changed": round(float((plain.predicted != changed.predicted).mean()), 4),
    }


def _ua_and_accuracy(part: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {part[name]['value']} [{part[name]['low']}-{part[name]['high']}]"
        for name in ("ua", "accuracy")
    )


def _ua(judgements: Judgements) -> float:
    correct = judgements.predicted == judgements.truth
    return float(
        np.mean([correct[judgements.truth == label].mean() for label in set(judgements.truth)])
    )
