"""A conversation while it happens: its last utterances, and the judgement of one of them."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamer_models.heads.calibration import Calibration, Modality
from streamer_models.zoo.dutta2022 import ConversationConfig, Windows

Array: TypeAlias = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """One utterance as the model remembers it."""

    speaker: int
    """Who speaks, by any number that stays the same through the conversation."""
    audio: Tensor | None = None
    """float32 [embedding]; None if the utterance has no audio that could be judged."""
    text: Tensor | None = None
    """float32 [embedding]; None if there is no transcript (yet)."""

    def __post_init__(self) -> None:
        for vector in (self.audio, self.text):
            if vector is None:
                continue
            if vector.ndim != 1 or vector.dtype != torch.float32:
                raise ValueError("an embedding is a float32 vector")
            if not bool(vector.isfinite().all()):
                raise ValueError("an embedding is not finite")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What there is of it."""
        found: list[Modality] = []
        if self.audio is not None:
            found.append("audio")
        if self.text is not None:
            found.append("text")
        return tuple(found)


Window: TypeAlias = tuple[Embedded, ...]
"""Utterances in order; the last one is the one to judge."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the model makes of one utterance."""

    probabilities: dict[str, float]
    """Calibrated, by label, in the order of the model's labels."""
    label: str
    """The likeliest."""
    confidence: float
    """Its probability."""
    abstained: bool
    """Whether the confidence is under the threshold."""
    modalities: tuple[Modality, ...]
    """What the model had of the utterance."""


class ConversationState:
    """The last utterances of one conversation: all that a judgement depends on.

    Utterances are numbered from 0 in the order in which they are added, and can be judged, or have their text
    filled in, while the `size` last ones hold them. To give each of these a whole window, 2 * size - 1 are kept.

    Args:
        size: Utterances in a window, the present one counted.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a window holds one utterance at least")
        self.size = size
        self._kept: deque[Embedded] = deque(maxlen=2 * size - 1)
        self._count = 0

    def __len__(self) -> int:
        """How many utterances were added since the conversation began."""
        return self._count

    def add(self, utterance: Embedded) -> int:
        """Add the utterance that ended now; returns its number."""
        self._kept.append(utterance)
        self._count += 1
        return self._count - 1

    def set_text(self, number: int, text: Tensor) -> None:
        """Fill in the text of an utterance that was added without.

        Raises:
            LookupError: It is not among the last `size`.
            ValueError: It has a text.
        """
        place = self._place(number)
        if self._kept[place].text is not None:
            raise ValueError(f"utterance {number} has a text")
        self._kept[place] = replace(self._kept[place], text=text)

    def window(self, number: int) -> Window:
        """The window that ends at an utterance: nothing that was added later is in it.

        Raises:
            LookupError: It is not among the last `size`.
        """
        place = self._place(number)
        return tuple(self._kept)[max(0, place - self.size + 1) : place + 1]

    def window_with(self, utterance: Embedded) -> Window:
        """The window that would end at an utterance which is still being spoken; it is not kept."""
        return (*tuple(self._kept)[max(0, len(self._kept) - self.size + 1) :], utterance)

    def copy(self) -> "ConversationState":
        """A state that goes its own way."""
        twin = ConversationState(self.size)
        twin._kept.extend(self._kept)
        twin._count = self._count
        return twin

    def to_arrays(self) -> dict[str, Array]:
        """All of it as plain arrays, to be stored."""
        kept = list(self._kept)
        width = max((len(v) for e in kept for v in (e.audio, e.text) if v is not None), default=0)

        def stack(vectors: Sequence[Tensor | None]) -> Array:
            rows = [torch.zeros(width) if v is None else v for v in vectors]
            return torch.stack(rows).numpy() if rows else np.zeros((0, width), np.float32)

        return {
            "size": np.array(self.size),
            "count": np.array(self._count),
            "speaker": np.array([e.speaker for e in kept], np.int64),
            "audio": stack([e.audio for e in kept]),
            "text": stack([e.text for e in kept]),
            "has_audio": np.array([e.audio is not None for e in kept], np.bool_),
            "has_text": np.array([e.text is not None for e in kept], np.bool_),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "ConversationState":
        """The state that `to_arrays` was called on.

        Raises:
            ValueError: The arrays do not make a state.
        """
        try:
            size, count = int(arrays["size"]), int(arrays["count"])
            state = cls(size)
            columns = [
                arrays[name] for name in ("speaker", "audio", "text", "has_audio", "has_text")
            ]
            for speaker, audio, text, has_audio, has_text in zip(*columns, strict=True):
                state.add(
                    Embedded(
                        int(speaker),
                        torch.from_numpy(audio.copy()) if has_audio else None,
                        torch.from_numpy(text.copy()) if has_text else None,
                    )
                )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"these arrays are not a conversation's state: {error!r}") from error
        if len(state) != min(count, 2 * size - 1):
            raise ValueError("these arrays are not a conversation's state: wrong count")
        state._count = count
        return state

    def _place(self, number: int) -> int:
        if not max(0, self._count - self.size) <= number < self._count:
            raise LookupError(f"utterance {number} is not among the last {self.size}")
        return number - self._count + len(self._kept)


class WindowJudge(Protocol):
    """The networks, as far as a judge needs them: a `ConversationModel`, or its form for the stream."""

    @property
    def config(self) -> ConversationConfig: ...  # noqa: D102

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def device(self) -> torch.device: ...  # noqa: D102

    def window(self, windows: Windows) -> Tensor: ...  # noqa: D102


class Judge:
    """Judges utterances, each by the window that ends at it. Deterministic; keeps nothing between calls.

    Args:
        model: The networks, in evaluation mode.
        calibration: What makes probabilities of its logits.
        threshold: Confidence under which it abstains.
    """

    def __init__(self, model: WindowJudge, calibration: Calibration, threshold: float) -> None:
        if model.config.window is None:
            raise ValueError("a model whose window is the whole conversation cannot judge a stream")
        self.model = model
        self.calibration = calibration
        self.threshold = threshold
        self._size = model.config.window

    def new_state(self) -> ConversationState:
        """The state of a conversation that begins."""
        return ConversationState(self._size)

    def step(self, state: ConversationState, utterance: Embedded) -> Judgement:
        """Add an utterance to a conversation and judge it."""
        return self([state.window(state.add(utterance))])[0]

    @torch.inference_mode()
    def __call__(self, windows: Sequence[Window]) -> list[Judgement]:
        """Judge the last utterance of each window; the windows may come from different conversations."""
        if not windows:
            return []
        batch = self._batch(windows)
        logits = self.model.window(batch).float().cpu()
        has_audio, has_text = (
            torch.tensor([name in window[-1].modalities for window in windows])
            for name in ("audio", "text")
        )
        probabilities = self.calibration.probabilities(logits, has_audio, has_text)
        return [
            self._judgement(row, window[-1])
            for row, window in zip(probabilities.tolist(), windows, strict=True)
        ]

    def _judgement(self, probabilities: list[float], utterance: Embedded) -> Judgement:
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return Judgement(
            probabilities=dict(zip(self.model.labels, probabilities, strict=True)),
            label=self.model.labels[best],
            confidence=probabilities[best],
            abstained=probabilities[best] < self.threshold,
            modalities=utterance.modalities,
        )

    def _batch(self, windows: Sequence[Window]) -> Windows:
        longest = max(map(len, windows))
        for window in windows:
            if not 1 <= len(window) <= self._size:
                raise ValueError(f"a window holds 1 to {self._size} utterances, not {len(window)}")
        zero = torch.zeros(self.model.config.embedding)
        nobody = Embedded(0)
        padded = [[*window, *[nobody] * (longest - len(window))] for window in windows]
        everyone = [utterance for window in padded for utterance in window]
        audio = [zero if u.audio is None else u.audio for u in everyone]
        text = [zero if u.text is None else u.text for u in everyone]
        flags = (
            [u.audio is not None for u in everyone],
            [u.text is not None for u in everyone],
            [
                u.speaker == window[-1].speaker
                for row, window in zip(padded, windows, strict=True)
                for u in row
            ],
            [place < len(window) for window in windows for place in range(longest)],
        )
        shape = len(windows), longest
        parts = (
            torch.stack(audio).view(*shape, -1),
            torch.stack(text).view(*shape, -1),
            *torch.tensor(flags).view(4, *shape),
        )
        return Windows(*(part.to(self.model.device) for part in parts))
