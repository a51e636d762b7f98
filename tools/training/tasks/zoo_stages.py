"""The second half of `atmaja2020`: stages of regression over what it estimates by voice, by text and by both."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from streamer_models.contract import UtteranceEmbedding
from streamer_models.zoo.atmaja2020 import MultistageFusion
from tools.training.tasks.zoo_dialogues import Dialogue

Estimate = Callable[[Sequence[UtteranceEmbedding]], Tensor]
"""Utterances -> dimensions [n, D]."""


def staged(estimate: Estimate, learnt: Sequence[Dialogue], held: Sequence[Dialogue]) -> Tensor:
    """Dimensions [n, D] of all utterances of `held`, by stages that are fitted on `learnt`.

    Args:
        estimate: By a model that has learnt, in evaluation mode.
        learnt: Rated dialogues.
        held: Dialogues to estimate; each utterance by itself and those before it.
    """
    rated = [torch.tensor(dialogue.ratings) for dialogue in learnt]
    inputs = [_estimates(estimate, dialogue) for dialogue in learnt]
    fusion = MultistageFusion(inputs[0].shape[1], rated[0].shape[1])
    fusion.fit(_apart(inputs, fusion.context, 0.0), _apart(rated, fusion.context, float("nan")))
    with torch.inference_mode():
        return torch.cat([fusion(_estimates(estimate, dialogue)) for dialogue in held])


def _estimates(estimate: Estimate, dialogue: Dialogue) -> Tensor:
    """[n, 3 D]: by voice, by text, by both."""
    kinds = (
        [replace(said, text=None) for said in dialogue.said],
        [replace(said, audio=None) for said in dialogue.said],
        dialogue.said,
    )
    return torch.cat([estimate(said) for said in kinds], dim=1)


def _apart(rows: Sequence[Tensor], space: int, value: float) -> Tensor:
    """Dialogues one after another, with rows of a value between them."""
    return torch.cat([functional.pad(each, (0, 0, 0, space), value=value) for each in rows])
