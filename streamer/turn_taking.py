"""Turn-taking: who holds the floor, overlaps, interruptions, response times, silence.

docs/figures.md defines each figure.
"""

from collections import deque
from dataclasses import dataclass, field

INTERRUPTION = 1.0
"""Seconds of simultaneous speech above which speaking into another's turn is an interruption."""

TURN_PAUSE = 3.0
"""Seconds of silence that end a turn although nobody else speaks."""

_RESPONSES = 4096
"""Latest response times of a speaker that the median is taken over."""


@dataclass(slots=True)
class Turns:
    """One speaker's turns; times in seconds."""

    count: int = 0
    longest: float = 0.0
    interruptions: int = 0
    interruption_seconds: float = 0.0
    responses: deque[float] = field(default_factory=lambda: deque(maxlen=_RESPONSES))
    began: float = 0.0
    """Where the speaker's latest turn begins."""
    end: float = 0.0
    """Where the speaker's latest utterance ends."""


@dataclass(slots=True)
class TurnTaking:
    """Accumulates utterances in the order of their starts; memory does not grow with their number."""

    speakers: dict[str, Turns] = field(default_factory=dict)
    overlap_seconds: float = 0.0
    overlaps: int = 0
    silence: float = 0.0
    """Seconds before `covered` in which nobody speaks."""
    longest_silence: float = 0.0
    covered: float = 0.0
    """Where the speech so far ends."""
    _covered_twice: float = 0.0
    """Where the simultaneous speech of two speakers ends."""
    _holder: str | None = None

    def add(self, speaker: str, start: float, end: float) -> float:
        """Add an utterance, [start, end) in seconds; return the seconds that it interrupts another."""
        own = self.speakers.setdefault(speaker, Turns())
        start = max(start, own.end)
        if end <= start:
            return 0.0
        own.end = end
        interrupting = self._take_floor(speaker, own, start, end)
        self._cover(start, end)
        return interrupting

    def merge(self, speaker: str, into: str) -> None:
        """Count a speaker's turns as those of another, who turned out to be the same."""
        if self._holder == speaker:
            self._holder = into
        if (old := self.speakers.pop(speaker, None)) is None:
            return
        own = self.speakers.setdefault(into, Turns())
        own.count += old.count
        own.longest = max(own.longest, old.longest)
        own.interruptions += old.interruptions
        own.interruption_seconds += old.interruption_seconds
        own.responses.extend(old.responses)
        if old.end > own.end:
            own.began, own.end = old.began, old.end

    def silence_until(self, duration: float) -> tuple[float, float]:
        """Return the seconds without speech in [0, duration), and the longest stretch of them."""
        rest = max(0.0, duration - self.covered)
        return self.silence + rest, max(self.longest_silence, rest)

    def _take_floor(self, speaker: str, own: Turns, start: float, end: float) -> float:
        holder, until = self._holder, self.covered
        by_other = holder is not None and holder != speaker
        interrupting = min(end, until) - start if by_other else 0.0
        if interrupting > INTERRUPTION:
            own.interruptions += 1
            own.interruption_seconds += interrupting
        else:
            interrupting = 0.0
        if end <= until:  # spoken within another's utterance: no turn
            return interrupting
        if holder != speaker or start - until > TURN_PAUSE:
            own.count += 1
            own.began = start
            if by_other and start >= until:
                own.responses.append(start - until)
        own.longest = max(own.longest, end - own.began)
        self._holder = speaker
        return interrupting

    def _cover(self, start: float, end: float) -> None:
        if start > self.covered:
            self.silence += start - self.covered
            self.longest_silence = max(self.longest_silence, start - self.covered)
        begin = max(start, self._covered_twice)
        until = min(end, self.covered)
        if until > begin:
            self.overlap_seconds += until - begin
            self.overlaps += start > self._covered_twice or not self.overlaps
            self._covered_twice = until
        self.covered = max(self.covered, end)
