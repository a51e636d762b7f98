"""A bundle's calibrated probabilities for utterances that are already embedded, as the running program gives them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import modalities_of
from streamer_models.windows import Dialogue
from tools.progress import progress


@torch.inference_mode()
def judge(
    bundle: Bundle, dialogues: Sequence[Dialogue], *, context: bool = True
) -> list[NDArray[np.float64]]:
    """Return probabilities [N, classes] of the N utterances of each dialogue, by the causal windows of the model.

    Args:
        bundle: Model and calibration.
        dialogues: Utterances in order.
        context: False: each utterance is judged alone.
    """
    size = bundle.model.config.window
    if size is None:
        raise ValueError("a bundle whose window is the whole conversation cannot judge a stream")
    judged = []
    for dialogue in progress(dialogues, "Judging"):
        logits = bundle.model.last(dialogue.windows(size if context else 1))
        probabilities = bundle.calibration.probabilities(
            logits.float(), modalities_of(dialogue.has_audio, dialogue.has_text)
        )
        judged.append(probabilities.double().numpy())
    return judged
