"""IEMOCAP's dialogues as the systems of the zoo take them: frames, tokens, labels and ratings of their utterances."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer_models.contract import UtteranceEmbedding
from tools.data.iemocap import LABELS, Utterance, data_hashes, read_features, read_utterances
from tools.training.tasks.zoo_data import kept_features
from tools.training.tasks.zoo_dialogues import UNKNOWN, Dialogue
from tools.training.tasks.zoo_encoders import FrozenText

JOINED = 3
"""Frames of 32 ms that are averaged to one."""
MOST_FRAMES = 62
"""Six seconds."""


def read_corpus(
    folder: Path, sessions: Sequence[int], text: FrozenText | None, cache: Path
) -> list[Dialogue]:
    """Return the dialogues of some sessions; the name of each begins with its session, as in Ses01.

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
        ratings = [(u.valence, u.arousal) for u in dialogue]
        dialogues.append(Dialogue(dialogue[0].dialogue, said, labels, ratings))
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
    key = {"iemocap": data_hashes(folder, sessions)} | text.identity
    said = [each.text for each in utterances]
    rows = kept_features(cache, "tokens", key, lambda: text.embed(said))
    return [tokens.float() for tokens in rows]


def _frames(stored: Any) -> Tensor:
    """Frames uint8 [F, 64] -> [ceil(F / 3), 64] around zero."""
    frames = torch.from_numpy(np.asarray(stored, np.float32))[: JOINED * MOST_FRAMES]
    means = torch.stack([piece.mean(dim=0) for piece in torch.split(frames, JOINED)])
    return (means - means.mean()) / 8
