"""Classification of utterances of many conversations: several in one call cost little more than one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from streamer.runtime.batching import Batcher, BatchStatistics, combined

if TYPE_CHECKING:
    import asyncio

    from streamer_models.classifier import Classifier, Prediction
    from streamer_models.contract import Window

_LIVE_LIMIT = 32
"""Windows in one call at most for live conversations."""

_MAX_WAIT = 0.05
"""Seconds that an update of a live conversation waits for others: far less than there are between two updates."""

_REPLAY_SIZE = 4
"""Windows in each call for replays: enough to share its costs, cheap enough for one alone."""


class BatchingClassifier:
    """Classifies windows in the workers of an executor.

    Args:
        classifier: the model.
        executor: where it runs.
        workers: calls at the same time.
    """

    def __init__(self, classifier: "Classifier", executor: Executor, workers: int) -> None:
        self._live = Batcher(
            executor,
            workers,
            partial(_classify, classifier),
            limit=_LIVE_LIMIT,
            max_wait=_MAX_WAIT,
        )
        self._replayed = Batcher(
            executor,
            workers,
            partial(batch_deterministic, classifier),
            limit=2 * _REPLAY_SIZE,
        )

    def submit(
        self, window: "Window", *, live: bool, may_wait: bool = False
    ) -> "asyncio.Future[Prediction]":
        """Begin to classify the last utterance of a window.

        Args:
            window: the utterance, behind those before it.
            live: prefer a quick result; otherwise one that is the same to the last bit each time.
            may_wait: let a live window wait a moment for others; one alone costs as much as three together.
        """
        return (
            self._live.submit(window, may_wait=may_wait) if live else self._replayed.submit(window)
        )

    def statistics(self) -> BatchStatistics:
        """Return how busy the workers are."""
        return combined(self._live.statistics(), self._replayed.statistics())


def batch_deterministic(
    classifier: "Classifier", windows: Sequence["Window"]
) -> "list[Prediction | Exception]":
    """Classify windows, each the same to the last bit whatever the others are.

    The last bits of a prediction depend on the shape of its batch. So all batches have one shape: four windows of the
    same length, filled up with copies. Which ones they are makes no difference then.
    """
    predictions: dict[int, Prediction | Exception] = {}
    for places in _by_length(windows):
        batch = [windows[place] for place in places]
        results = _classify(classifier, batch + batch[:1] * (_REPLAY_SIZE - len(batch)))
        predictions.update(zip(places, results, strict=False))
    return [predictions[place] for place in range(len(windows))]


def _classify(
    classifier: "Classifier", windows: Sequence["Window"]
) -> "list[Prediction | Exception]":
    """Classify windows in one call; if one is at fault, each by itself."""
    try:
        return [*classifier(windows)]
    except (RuntimeError, ValueError) as error:
        if len(windows) == 1:
            return [error]
        return [result for window in windows for result in _classify(classifier, [window])]


def _by_length(windows: Sequence["Window"]) -> Iterator[list[int]]:
    """Group the places of windows by their length, `_REPLAY_SIZE` at a time."""
    for length in sorted(set(map(len, windows))):
        places = [place for place, window in enumerate(windows) if len(window) == length]
        for first in range(0, len(places), _REPLAY_SIZE):
            yield places[first : first + _REPLAY_SIZE]
