"""Logits -> probabilities that mean what they say: temperature scaling (Guo et al., 2017)."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from streamer_models.config import NetworkConfig

Temperature = Annotated[float, Field(gt=0.01, lt=100)]
Modality = Literal["audio", "text"]

MIN_EXAMPLES = 50
_FLATTEST, _SHARPEST = 1 / 50, 50.0


class Calibration(NetworkConfig):
    """A temperature for each set of modalities that an utterance can have; it never changes a label."""

    both: Temperature = 1.0
    audio: Temperature = 1.0
    text: Temperature = 1.0

    def probabilities(self, logits: Tensor, has_audio: Tensor, has_text: Tensor) -> Tensor:
        """Calibrated probabilities.

        Args:
            logits: [N, classes].
            has_audio: Whether each of the judged utterances has audio, bool [N].
            has_text: The same of text, bool [N].

        Returns:
            [N, classes], each row summing to 1.
        """
        temperature = torch.full_like(logits[:, :1], self.both)
        temperature[has_audio & ~has_text] = self.audio
        temperature[has_text & ~has_audio] = self.text
        return torch.softmax(logits / temperature, dim=-1)

    @classmethod
    def fit(
        cls, logits: Tensor, labels: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> "Calibration":
        """The temperatures under which development data are likeliest.

        A set of modalities with fewer than 50 utterances gets the temperature of all of them together.

        Args:
            logits: [N, classes] of development data.
            labels: Their classes, int64 [N].
            has_audio: bool [N].
            has_text: bool [N].
        """
        overall = fit_temperature(logits, labels)

        def fitted(which: Tensor) -> float:
            if int(which.sum()) < MIN_EXAMPLES:
                return overall
            return fit_temperature(logits[which], labels[which])

        return cls(
            both=fitted(has_audio & has_text),
            audio=fitted(has_audio & ~has_text),
            text=fitted(has_text & ~has_audio),
        )


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T in [1/50, 50] that minimises the mean cross-entropy of softmax(logits / T).

    The cross-entropy is convex in b = 1/T with the slope E_p[z] - z_label, so bisection finds its minimum.

    Args:
        logits: z, [N, classes], N >= 1.
        labels: int64 [N].
    """
    if not len(labels):
        raise ValueError("a temperature cannot be fitted to no data")
    z = logits.detach().double()
    z = z - z.max(dim=-1, keepdim=True).values
    right = z.gather(1, labels[:, None])[:, 0].mean()

    def slope(b: float) -> float:
        return float((torch.softmax(b * z, dim=-1) * z).sum(-1).mean() - right)

    low, high = _FLATTEST, _SHARPEST
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float((low * high) ** -0.5)
