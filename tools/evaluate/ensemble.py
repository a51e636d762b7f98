"""A bundle, and beside it more contexts and fusions over the same encoders; what they say is averaged.

A bundle holds one model, and one is what runs live. The others are for the research benchmark alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.windows import Dialogue
from streamer_models.zoo.dutta2022 import Dutta2022
from tools.training.checkpoint import load_checkpoint, save_checkpoint

OTHERS = "others.safetensors"
"""Lies beside the bundle."""


@dataclass(frozen=True)
class Ensemble:
    """Models that share their encoders.

    Attributes:
        bundle: Whose model is the first.
        others: The other ones, without encoders.
    """

    bundle: Bundle
    others: tuple[Dutta2022, ...] = ()

    @classmethod
    def load(cls, directory: Path) -> "Ensemble":
        """Load the bundle and the others of a folder; a bundle alone is an ensemble of one.

        Raises:
            BundleError: There is no bundle, or it is damaged.
            UserError: The others are damaged, or do not fit the bundle.
        """
        bundle = Bundle.load(directory)
        if not (directory / OTHERS).is_file():
            return cls(bundle)
        tensors, description = load_checkpoint(directory / OTHERS)
        weights: list[dict[str, Tensor]] = [{} for _ in range(int(description["others"]))]
        try:
            for name, tensor in tensors.items():
                number, rest = name.split(".", 1)
                weights[int(number)][rest] = tensor
            return cls.of(bundle, weights)
        except (ValueError, IndexError, RuntimeError) as error:
            raise UserError(
                f"{directory / OTHERS}: does not fit the bundle beside it; train again"
            ) from error

    @classmethod
    def of(cls, bundle: Bundle, weights: Sequence[Mapping[str, Tensor]]) -> "Ensemble":
        """Return a bundle, and others of its form with the weights of their contexts and fusions."""
        config = bundle.model.config
        others = []
        for each in weights:
            model = Dutta2022(config)
            model.audio = model.text = None
            put_weights(model, each)
            others.append(model.eval())
        return cls(bundle, tuple(others))

    def save(self, directory: Path) -> None:
        """Write the others beside the bundle, which is there already."""
        tensors = {
            f"{number}.{name}": tensor
            for number, model in enumerate(self.others)
            for name, tensor in model.state_dict().items()
        }
        save_checkpoint(directory / OTHERS, tensors, {"others": len(self.others)})

    def logits(self, dialogue: Dialogue, window: int | None) -> Tensor:
        """Return the mean of what all say of each utterance: log-probabilities [N, classes].

        Args:
            dialogue: To be judged.
            window: Length of the causal windows; None: the bundle's own, or whole dialogues if that is its form.
        """
        models = (self.bundle.model, *self.others)
        own = self.bundle.model.config.window
        if own is None:
            said = [model.every(dialogue.whole())[0] for model in models]
        else:
            windows = dialogue.windows(window or own)
            said = [model.last(windows) for model in models]
        return torch.stack(said).log_softmax(-1).mean(0)


def put_weights(model: Dutta2022, weights: Mapping[str, Tensor]) -> None:
    """Put contexts and fusion into a model; its encoders stay as they are.

    Raises:
        ValueError: They are of another form, or not all there.
    """
    missing, unexpected = model.load_state_dict(dict(weights), strict=False)
    if unexpected or any(not name.startswith(("audio.", "text.")) for name in missing):
        raise ValueError("not the contexts and the fusion of such a model")
