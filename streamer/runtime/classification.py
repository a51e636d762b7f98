"""Judging the utterances of many conversations: several in one call, which costs little more than one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from streamer.runtime.batching import Batcher

if TYPE_CHECKING:
    import asyncio

    from streamer_models.classifier import Classifier, Prediction
    from streamer_models.memory import Window

_LIVE = 32
"""Windows in one call at most, where those of live conversations queue up."""

_PATIENCE = 0.05
"""Seconds that an estimate for a live conversation waits for company: far less than there are between two."""

_ALIKE = 4
"""Windows in each call for replays: enough to share its costs, and not too dear for one alone."""


class Judging:
    """Judges windows in the threads of an executor.

    Args:
        judge: the model.
        executor: where it works.
        threads: how many calls there may be at the same time.
    """

    def __init__(self, judge: "Classifier", executor: Executor, threads: int) -> None:
        self._live = Batcher(
            executor, threads, partial(_together, judge), limit=_LIVE, patience=_PATIENCE
        )
        self._replayed = Batcher(executor, threads, partial(alike, judge), limit=2 * _ALIKE)

    def submit(
        self, window: "Window", *, live: bool, patient: bool = False
    ) -> "asyncio.Future[Prediction]":
        """Begin to judge the last utterance of a window.

        Args:
            window: the utterance, behind those before it.
            live: whether it matters more that it is judged soon than that it is judged the same each time.
            patient: whether it may wait a moment for others, if it is live; one alone costs as much as three together.
        """
        return self._live.submit(window, patient=patient) if live else self._replayed.submit(window)


def alike(judge: "Classifier", windows: Sequence["Window"]) -> "list[Prediction | Exception]":
    """Classify windows, each the same to the last bit in any company.

    In the last bits, a judgement depends on the shape of the batch that it is made in. So all batches have one
    shape: four windows of the same length, filled up with copies. Which ones they are does not matter then.
    """
    judged: dict[int, Prediction | Exception] = {}
    for places in _by_length(windows):
        some = [windows[place] for place in places]
        results = _together(judge, some + some[:1] * (_ALIKE - len(some)))
        judged.update(zip(places, results, strict=False))
    return [judged[place] for place in range(len(windows))]


def _together(judge: "Classifier", windows: Sequence["Window"]) -> "list[Prediction | Exception]":
    """Classify windows in one call; if one is at fault, each by itself."""
    try:
        return [*judge(windows)]
    except (RuntimeError, ValueError) as error:
        if len(windows) == 1:
            return [error]
        return [judged for window in windows for judged in _together(judge, [window])]


def _by_length(windows: Sequence["Window"]) -> Iterator[list[int]]:
    """The places of windows of the same length, so many at a time."""
    for length in sorted(set(map(len, windows))):
        places = [place for place, window in enumerate(windows) if len(window) == length]
        for first in range(0, len(places), _ALIKE):
            yield places[first : first + _ALIKE]
