"""`python -m tools.evaluate conversations`: written dialogues in order, past context only; voices can be added."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamer_models.bundle import Bundle
from streamer_models.streaming import fast_form
from streamer_models.windows import Dialogue
from tools.data.conversations import TextDialogue, read_dialogues
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.evaluate.details import KEY, to_json
from tools.evaluate.judging import judge
from tools.evaluate.metrics import Judgements, grouped_report
from tools.evaluate.output import (
    abstention,
    bundle_directory,
    bundle_identity,
    load_bundle,
    print_table,
    write_json,
)
from tools.progress import progress
from tools.training.tasks.composition import PLAIN, ClipBank, voiced
from tools.training.tasks.text import embed_texts
from tools.training.tasks.text_noise import RecogniserNoise

TRAINING = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", default="streamer-en-2", help="name or directory of a bundle")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with utterances.csv.gz (dialogue_id, turn, speaker, text, emotion4)",
    )
    parser.add_argument(
        "--split", help="judge this part only; default: all that is not 'train', if there is any"
    )
    parser.add_argument(
        "--clips",
        type=Path,
        help="folder of clips with manifest.csv: each utterance is given a clip of its emotion, "
        "one actor for each speaker of a dialogue",
    )
    parser.add_argument("--no-text", action="store_true", help="with --clips: the clips alone")
    parser.add_argument("--no-context", action="store_true", help="judge each utterance alone")
    parser.add_argument(
        "--noise", type=float, default=0.0, metavar="WER", help="recogniser-like errors in the text"
    )
    parser.add_argument("--seed", type=int, default=0, help="of casting and of noise (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    directory = bundle_directory(arguments.bundle)
    bundle = load_bundle(arguments.bundle)
    dialogues = evaluated(read_dialogues(arguments.data), arguments.split)
    bank = open_bank(bundle, arguments.clips) if arguments.clips else None
    composed = embedded(
        bundle,
        dialogues,
        bank,
        with_text=not (arguments.no_text and bank is not None),
        noise=arguments.noise,
        seed=arguments.seed,
    )
    judgements, speakers = judged(bundle, dialogues, composed, context=not arguments.no_context)
    result = grouped_report(judgements, {"speaker": speakers})
    result["abstention"] = abstention(judgements, bundle.threshold, bundle.thresholds)
    result["bundle"] = bundle_identity(directory)
    result[KEY] = to_json(judgements)
    print_table(f"{bundle.name}, {arguments.data}", result, bundle.labels)
    print(f"abstention: {result['abstention']}")
    write_json(arguments.json, result)


def evaluated(dialogues: Sequence[TextDialogue], split: str | None) -> list[TextDialogue]:
    """Return the dialogues to judge: a part by name, or what is not for training, or all if all is."""
    if split is not None:
        return [dialogue for dialogue in dialogues if dialogue.split == split]
    return [d for d in dialogues if d.split != TRAINING] or list(dialogues)


@torch.inference_mode()
def open_bank(bundle: Bundle, folder: Path) -> ClipBank:
    """Return the clips of a folder that are not for training (all of them, if all are), embedded."""
    clips = [
        clip for clip in read_manifest(folder) if clip.is_speech and (clip.emotion4 or clip.emotion)
    ]
    clips = [clip for clip in clips if clip.split != TRAINING] or clips
    audio = bundle.model.audio
    assert audio is not None  # noqa: S101 - asked for by a bundle that hears
    audio = fast_form(audio)
    embeddings = [
        audio(torch.from_numpy(decode(folder / clip.path))[None])[0]
        for clip in progress(clips, f"Embedding {len(clips)} clips")
    ]
    return ClipBank(clips, torch.stack(embeddings)[None])


def embedded(
    bundle: Bundle,
    dialogues: Sequence[TextDialogue],
    bank: ClipBank | None,
    *,
    with_text: bool = True,
    noise: float = 0.0,
    seed: int = 0,
) -> list[Dialogue]:
    """Return dialogues as the model sees them.

    Args:
        bundle: What embeds them.
        dialogues: To embed.
        bank: Voices; None: no utterance has audio.
        with_text: False: no utterance has text.
        noise: Word error rate of the texts.
        seed: Decides casting, clips and errors.
    """
    rng = np.random.default_rng((seed, 9))
    said = [turn.text for dialogue in dialogues for turn in dialogue.turns]
    if noise:
        recogniser = RecogniserNoise(said)
        said = [recogniser(text, noise, rng) for text in said]
    texts = _embed(bundle, said)
    composed = []
    start = 0
    for dialogue in dialogues:
        text = texts[None, start : start + len(dialogue.turns)]
        start += len(dialogue.turns)
        plain = voiced(dialogue, text, bank, PLAIN, rng).plain()
        if not with_text:
            plain = replace(plain, has_text=torch.zeros_like(plain.has_text))
        composed.append(plain)
    return composed


def judged(
    bundle: Bundle,
    dialogues: Sequence[TextDialogue],
    composed: Sequence[Dialogue],
    *,
    context: bool = True,
) -> tuple[Judgements, list[str]]:
    """Return what a bundle says of the utterances that have one of its labels, and who speaks each of them."""
    labels = bundle.labels
    truth, rows, clusters, speakers = [], [], [], []
    for dialogue, said in zip(dialogues, judge(bundle, composed, context=context), strict=True):
        for turn, row in zip(dialogue.turns, said, strict=True):
            if turn.emotion4 in labels:
                truth.append(turn.emotion4)
                rows.append(row)
                clusters.append(dialogue.name)
                speakers.append(turn.speaker)
    return Judgements.of(labels, truth, np.array(rows), clusters), speakers


def _embed(bundle: Bundle, texts: Sequence[str]) -> Tensor:
    if bundle.model.text is None or bundle.tokenizer is None:
        return torch.zeros(len(texts), bundle.model.config.embedding)
    return embed_texts(bundle.model.text, bundle.tokenizer, texts)
