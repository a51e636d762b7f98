"""The classification of utterances, each by the window that ends at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from streamer_models.contract import HasFastForm, Modality, System, Window
from streamer_models.heads.calibration import Calibration

if TYPE_CHECKING:
    from streamer_models.memory import ConversationState

_SPEECH = 0
"""Place of speech among kinds of sound."""
_LEAST_SOUND = 0.5
"""Probability above which an utterance is another sound."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The emotion of one utterance."""

    probabilities: dict[str, float]
    """Calibrated, by label, in the order of the model's labels."""
    label: str
    """The likeliest."""
    confidence: float
    """Its probability."""
    abstained: bool
    """Whether the confidence is under the threshold of the label."""
    modalities: tuple[Modality, ...]
    """Those that the model had of the utterance."""
    likely: tuple[str, ...] = ()
    """Prediction set: the labels that the calibration does not rule out, the likeliest first."""
    dimensions: dict[str, float] | None = None
    """Valence and arousal in [-1, 1]; None if the model does not estimate them."""
    sound: tuple[str, float] | None = None
    """What the utterance is instead of speech, such as a laugh, and its probability; None: it is speech."""


class Classifier:
    """Classifies utterances. Deterministic; keeps nothing between calls.

    Args:
        system: The networks, in evaluation mode.
        calibration: From logits to probabilities.
        threshold: Confidence under which a prediction abstains.
        thresholds: Those of labels for which it is another.
        fast: Whether to use the system's fast form, where it has one.
    """

    def __init__(
        self,
        system: System,
        calibration: Calibration,
        threshold: float,
        thresholds: Mapping[str, float] | None = None,
        *,
        fast: bool = True,
    ) -> None:
        if system.window is None:
            raise ValueError(
                "a model whose window is the whole conversation cannot classify a stream"
            )
        if calibration.classes not in (None, len(system.config.labels)):
            raise ValueError("the calibration is of another number of classes")
        self.system = system
        self.labels, self.dimensions = system.config.labels, system.config.dimensions
        self.sounds: tuple[str, ...] = getattr(system.config, "sounds", ())
        self.window = system.window
        self.calibration = calibration
        self.thresholds = dict.fromkeys(self.labels, threshold) | dict(thresholds or {})
        self._scoring = system.fast() if fast and isinstance(system, HasFastForm) else system

    def new_state(self) -> "ConversationState":
        """Return the memory of a conversation that begins."""
        return self.system.new_state()

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Window]) -> list[Prediction]:
        """Classify the last utterance of each window; the windows may come from different conversations."""
        for window in windows:
            if not 1 <= len(window) <= self.window:
                raise ValueError(f"a window holds 1 to {self.window} utterances, not {len(window)}")
        if not windows:
            return []
        scores = self._scoring.classify(windows)
        modalities = [window[-1].modalities for window in windows]
        probabilities = self.calibration.probabilities(scores.logits.float().cpu(), modalities)
        dimensions: list[list[float]] | list[None] = [None] * len(windows)
        if scores.dimensions is not None:
            dimensions = scores.dimensions.float().cpu().tolist()
        sounds: list[list[float]] | list[None] = [None] * len(windows)
        if scores.sounds is not None:
            sounds = scores.sounds.float().softmax(-1).cpu().tolist()
        return [
            self._prediction(*each)
            for each in zip(probabilities.tolist(), dimensions, sounds, modalities, strict=True)
        ]

    def _prediction(
        self,
        probabilities: list[float],
        dimensions: list[float] | None,
        sounds: list[float] | None,
        modalities: tuple[Modality, ...],
    ) -> Prediction:
        order = sorted(range(len(probabilities)), key=lambda place: -probabilities[place])
        best = probabilities[order[0]]
        floor = min(best, self.calibration["+".join(modalities)].likely)
        return Prediction(
            probabilities=dict(zip(self.labels, probabilities, strict=True)),
            label=self.labels[order[0]],
            confidence=best,
            abstained=best < self.thresholds[self.labels[order[0]]],
            modalities=modalities,
            likely=tuple(self.labels[i] for i in order if probabilities[i] >= floor),
            dimensions=None
            if dimensions is None
            else dict(zip(self.dimensions, dimensions, strict=True)),
            sound=None if sounds is None else self._sound(sounds),
        )

    def _sound(self, probabilities: list[float]) -> tuple[str, float] | None:
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        if best == _SPEECH or probabilities[best] <= _LEAST_SOUND:
            return None
        return self.sounds[best], probabilities[best]
