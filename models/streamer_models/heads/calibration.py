"""Logits -> calibrated probabilities: temperature scaling (Guo et al., 2017), prior correction, prediction sets."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import torch
from pydantic import ConfigDict, Field, RootModel, model_validator
from torch import Tensor

from streamer_models.config import NetworkConfig
from streamer_models.contract import Modality

Temperature = Annotated[float, Field(gt=0.01, lt=100)]
Shift = Annotated[float, Field(ge=-20, le=20)]
ModalitySet = Literal[
    "audio", "text", "video", "audio+text", "audio+video", "text+video", "audio+text+video"
]

MIN_EXAMPLES = 50
_FLATTEST, _SHARPEST = 1 / 50, 50.0


class Scaling(NetworkConfig):
    """The calibration of utterances with one set of modalities."""

    temperature: Temperature = 1.0
    bias: Annotated[tuple[Shift, ...], Field(max_length=64)] = ()
    """Added to logits / temperature, one for each class (a prior's correction); empty: none."""
    likely: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Least probability of a label in the prediction set; the likeliest label is always in it."""


class Calibration(RootModel[dict[ModalitySet, Scaling]]):
    """A scaling for each set of modalities.

    A set without one has that of the largest set, so that a calibration may hold one scaling for all; without any,
    probabilities are the softmax of the logits.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    root: Annotated[dict[ModalitySet, Scaling], Field(max_length=7)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_number_of_classes(self) -> "Calibration":
        if len({len(scaling.bias) for scaling in self.root.values() if scaling.bias}) > 1:
            raise ValueError("the biases differ in length")
        return self

    @property
    def classes(self) -> int | None:
        """The number of classes that the biases are made for; None: any."""
        return next((len(s.bias) for s in self.root.values() if s.bias), None)

    @classmethod
    def of(cls, temperatures: Mapping[str, float]) -> "Calibration":
        """Return a calibration by temperatures alone, from set of modalities ("audio+text") to temperature."""
        return cls.model_validate({name: {"temperature": t} for name, t in temperatures.items()})

    def __getitem__(self, modalities: str) -> Scaling:
        """Return the scaling of a set of modalities, such as "audio+text"."""
        found = self.root.get(modalities)  # type: ignore[call-overload]
        if isinstance(found, Scaling):
            return found
        largest = max(self.root, key=lambda name: name.count("+"), default=None)
        return self.root[largest] if largest else Scaling()

    def probabilities(self, logits: Tensor, modalities: Sequence[Sequence[Modality]]) -> Tensor:
        """Calibrate logits.

        Args:
            logits: [N, classes].
            modalities: Those that each of the N utterances has.

        Returns:
            Probabilities [N, classes], each row summing to 1.
        """
        scalings = [self["+".join(each)] for each in modalities]
        scaled = logits / logits.new_tensor([s.temperature for s in scalings])[:, None]
        if self.classes:
            none = (0.0,) * self.classes
            scaled = scaled + logits.new_tensor([s.bias or none for s in scalings])
        return torch.softmax(scaled, dim=-1)

    @classmethod
    def fit(
        cls, logits: Tensor, labels: Tensor, has_audio: Tensor, has_text: Tensor
    ) -> "Calibration":
        """Find the temperatures under which development data are likeliest.

        A set of modalities with fewer than 50 utterances gets the temperature of all of them together.

        Args:
            logits: [N, classes] of development data.
            labels: Their classes, int64 [N].
            has_audio: bool [N].
            has_text: bool [N].
        """
        overall = fit_temperature(logits, labels)
        sets = {
            "audio": has_audio & ~has_text,
            "text": has_text & ~has_audio,
            "audio+text": has_audio & has_text,
        }
        return cls.of(
            {
                name: fit_temperature(logits[which], labels[which])
                if int(which.sum()) >= MIN_EXAMPLES
                else overall
                for name, which in sets.items()
            }
        )


def modalities_of(has_audio: Tensor, has_text: Tensor) -> list[tuple[Modality, ...]]:
    """Return the modalities of N utterances from two masks, bool [N]."""
    sets: dict[tuple[bool, bool], tuple[Modality, ...]] = {
        (True, True): ("audio", "text"),
        (True, False): ("audio",),
        (False, True): ("text",),
        (False, False): (),
    }
    return [sets[pair] for pair in zip(has_audio.tolist(), has_text.tolist(), strict=True)]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature T in [1/50, 50] that minimises the mean cross-entropy of softmax(logits / T).

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
