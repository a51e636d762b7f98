"""Overlap of an utterance with other speakers."""

_KEPT = 300.0
"""Seconds that utterances are kept; none is longer."""


class Overlap:
    """Follows who speaks, in the order of the audio.

    Speech that has not ended yet counts up to the end of the utterance. Times are seconds.
    """

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self._ended: list[tuple[str, float, float]] = []

    def start(self, channel: str, start: float) -> None:
        """Note that someone begins to speak."""
        self._open[channel] = start

    def end(self, channel: str, start: float, end: float) -> float:
        """Note an utterance; return the seconds of it during which another channel spoke."""
        self._open.pop(channel, None)
        others = [(a, b) for name, a, b in self._ended if name != channel]
        others += [(a, end) for a in self._open.values()]
        self._ended = [each for each in self._ended if each[2] > end - _KEPT]
        self._ended.append((channel, start, end))
        return _covered(start, end, others)


def _covered(start: float, end: float, intervals: list[tuple[float, float]]) -> float:
    """Return the length of the part of [start, end) that the intervals cover."""
    covered, at = 0.0, start
    for begin, until in sorted(intervals):
        covered += max(0.0, min(until, end) - max(begin, at))
        at = max(at, min(until, end))
    return covered
