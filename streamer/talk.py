"""Figures of one speaker of a conversation: time, words, loudness, emotions, valence."""

import math
from dataclasses import dataclass, field

from streamer import events
from streamer.valence import expected_valence

SCALE = 5.0
"""A score is a mean valence times this."""

_SERIES = 8192


@dataclass(slots=True)
class Series:
    """Valence over time, as (start, end, weight in seconds, mean); bounded by merging neighbours."""

    points: list[tuple[float, float, float, float]] = field(default_factory=list)
    weight: float = 0.0
    total: float = 0.0

    def add(self, start: float, end: float, value: float) -> None:
        """Add a value that holds in [start, end), in seconds."""
        weight = end - start
        self.points.append((start, end, weight, value))
        self.weight += weight
        self.total += weight * value
        self._bound()

    def include(self, other: "Series") -> None:
        """Add all values of another series."""
        self.points += other.points
        self.weight += other.weight
        self.total += other.total
        self._bound()

    def _bound(self) -> None:
        if len(self.points) > _SERIES:
            self.points.sort()
            self.points = [
                _merged(*pair) for pair in zip(self.points[::2], self.points[1::2], strict=False)
            ] + self.points[len(self.points) // 2 * 2 :]

    def mean(self) -> float | None:
        """Return the mean weighted by time, or None if there is nothing."""
        return self.total / self.weight if self.weight else None

    def mean_within(self, start: float, end: float) -> float | None:
        """Return the mean over the part in [start, end), or None if there is nothing."""
        weight = total = 0.0
        for first, last, seconds, value in sorted(self.points):
            inside = min(last, end) - max(first, start)
            if inside > 0:
                part = seconds * inside / (last - first)
                weight += part
                total += part * value
        return total / weight if weight else None


def _merged(
    a: tuple[float, float, float, float], b: tuple[float, float, float, float]
) -> tuple[float, float, float, float]:
    weight = a[2] + b[2]
    return a[0], max(a[1], b[1]), weight, (a[2] * a[3] + b[2] * b[3]) / weight


@dataclass(slots=True)
class Speaker:
    """Figures of one speaker so far; times in seconds."""

    name: str
    channel: str
    seconds: float = 0.0
    utterances: int = 0
    words: float = 0.0
    worded: float = 0.0
    """Seconds of the utterances whose number of words is known."""
    power: float = 0.0
    """Sum of power times seconds."""
    heard: float = 0.0
    """Seconds of the utterances whose loudness is known."""
    emotions: dict[str, float] = field(default_factory=dict)
    """Seconds by label, abstentions left out."""
    valence: Series = field(default_factory=Series)

    @property
    def words_per_minute(self) -> float | None:
        """Words for each minute of speech."""
        return round(60 * self.words / self.worded, 1) if self.worded else None

    @property
    def loudness_db(self) -> float | None:
        """Mean level of the speech."""
        if not self.heard or self.power <= 0:
            return None
        return round(min(0.0, 10 * math.log10(self.power / self.heard)), 1)

    @property
    def overall(self) -> float | None:
        """Mean valence, -5 to 5."""
        return score(self.valence.mean())

    def add(self, event: events.Utterance, start: float, end: float) -> None:
        """Add an utterance."""
        seconds = end - start
        self.seconds += seconds
        self.utterances += 1
        sound = event.acoustics
        if event.text is not None:
            self._count_words(len(event.text.split()), seconds)
        elif sound and sound.words_per_minute is not None:
            self._count_words(round(sound.words_per_minute, 1) * seconds / 60, seconds)
        if sound and sound.loudness_db is not None:
            self.power += 10 ** (round(sound.loudness_db, 1) / 10) * seconds
            self.heard += seconds
        if event.emotion is not None and not event.abstained:
            self.emotions[event.emotion] = self.emotions.get(event.emotion, 0.0) + seconds
        value = valence(event)
        if value is not None:
            self.valence.add(start, end, value)

    def include(self, other: "Speaker") -> None:
        """Add all that another speaker said, who turned out to be this one."""
        self.seconds += other.seconds
        self.utterances += other.utterances
        self._count_words(other.words, other.worded)
        self.power += other.power
        self.heard += other.heard
        for label, seconds in other.emotions.items():
            self.emotions[label] = self.emotions.get(label, 0.0) + seconds
        self.valence.include(other.valence)

    def _count_words(self, words: float, seconds: float) -> None:
        self.words += words
        self.worded += seconds


def speaker_of(event: events.Utterance | events.Mood) -> str:
    """Return who speaks: the channel stands for its speaker where no other is known."""
    return event.speaker or event.channel


def valence(event: events.Utterance) -> float | None:
    """Return an utterance's valence, -1 to 1, from its dimensions or its labels; None if not judged."""
    if event.dimensions is not None:
        return event.dimensions.valence
    if not event.probabilities:
        return None
    return expected_valence({label: round(p, 4) for label, p in event.probabilities.items()})


def wire(seconds: float) -> float:
    """Round as the wire does, so that live events count like stored ones."""
    return round(seconds, 3)


def score(mean: float | None) -> float | None:
    """Return the score, -5 to 5, of a mean valence."""
    return None if mean is None else round(max(-SCALE, min(SCALE, SCALE * mean)), 2) + 0.0
