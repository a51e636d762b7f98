"""Sounds that are no speech: laughs, sighs, crying, coughs, music, found in a channel's audio as it comes.

Audio is scored in blocks of 0.96 s that lie on the conversation's own grid, so that the sizes of chunks change nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from streamer.audio import FRAME, AudioChunk, Samples
from streamer.speech import SoundHeard

if TYPE_CHECKING:
    from streamer_models.fast.sound_network import FastSoundNetwork

BLOCK: Final = 32 * FRAME
"""Samples (0.96 s) that are scored at a time."""
OUTPUT: Final = 640
"""Samples (40 ms) that a score is about."""
_BEFORE: Final = 240
"""Samples before a block that its first column reaches back to."""
_STAYS: Final = 0.5
"""Share of the threshold above which a sound that has begun goes on."""
_LONGEST: Final = 30 * 25
"""Scores (30 s) after which a sound is reported; what goes on is another one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a class is reported; lengths in scores of 40 ms."""

    threshold: float
    shortest: int
    """Scores in a row that reach the threshold."""
    pause: int
    """Scores without it that end the sound."""


RULES: Final = {
    "laugh": Rule(0.85, 8, 12),
    "sigh": Rule(0.97, 8, 8),
    "cry": Rule(0.95, 12, 25),
    "cough": Rule(0.93, 4, 12),
    "music": Rule(0.7, 25, 50),
}


class _Follower:
    """Follows the scores of one class from one sound to the next."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._begin: int | None = None
        self._last = 0
        self._strong = 0
        """Scores in a row that reach the threshold, up to now."""
        self._scores: list[float] = []
        self.sure = False
        """Whether what goes on is a sound of this class."""

    def rests(self, scores: Samples) -> bool:
        """Return whether nothing goes on, and nothing begins with the scores that follow."""
        if self._begin is not None or scores.max() >= self._rule.threshold:
            return False
        self._strong = 0
        return True

    def take(self, moment: int, score: float) -> tuple[int, int, float] | None:
        """Take the score of the next moment; return begin, end and confidence of a sound that is over."""
        self._strong = self._strong + 1 if score >= self._rule.threshold else 0
        if score >= self._rule.threshold * (1.0 if self._begin is None else _STAYS):
            self._begin = moment if self._begin is None else self._begin
            self._last = moment
            self._scores.append(score)
            self.sure = self.sure or self._strong >= self._rule.shortest
            return self.finish() if len(self._scores) >= _LONGEST else None
        over = self._begin is not None and moment - self._last > self._rule.pause
        return self.finish() if over else None

    def finish(self) -> tuple[int, int, float] | None:
        """End what goes on."""
        begin, sure, scores = self._begin, self.sure, self._scores
        self._begin, self.sure, self._scores = None, False, []
        if begin is None or not sure:
            return None
        return begin, self._last + 1, float(np.mean(scores))


class SoundDetector:
    """Finds the sounds of one channel.

    Args:
        network: Scores the audio; shared.
        channel: Index of the channel.
    """

    def __init__(self, network: "FastSoundNetwork", channel: int) -> None:
        self._network = network
        self._channel = channel
        self._end = self._due = 0
        """End of the audio received, and of the block that it lies in."""
        self._restart(0)

    @property
    def next_event(self) -> int:
        """First sample at which the next sound can become known."""
        return self._due

    @property
    def music(self) -> bool:
        """Whether there is music, as far as it is known."""
        return self._followers["music"].sure

    def cut(self, chunk: AudioChunk) -> Iterator[AudioChunk]:
        """Cut a chunk where blocks end."""
        first = chunk.start // BLOCK * BLOCK + BLOCK - chunk.start
        if len(chunk.samples) <= first:
            yield chunk
            return
        edges = [0, *range(first, len(chunk.samples), BLOCK), len(chunk.samples)]
        for begin, end in pairwise(edges):
            yield replace(chunk, start=chunk.start + begin, samples=chunk.samples[begin:end])

    def push(self, chunk: AudioChunk) -> Iterator[SoundHeard]:
        """Process the next audio, which does not reach over the end of a block."""
        if chunk.start != self._end:
            yield from self.finish()
            self._restart(chunk.start)
        self._pieces.append(chunk.samples)
        self._end = chunk.end
        if self._end == self._due:
            yield from self._score(self._end)

    def finish(self) -> Iterator[SoundHeard]:
        """End the audio: silence follows, and what goes on ends."""
        while self._moment * OUTPUT < self._end:
            yield from self._score(self._end)
        for name, follower in self._followers.items():
            yield from self._heard(name, follower.finish(), self._end)
        self._restart(self._end)

    def _restart(self, start: int) -> None:
        first = start // BLOCK * BLOCK
        self._due = first + BLOCK
        self._end = start
        self._pieces: list[Samples] = [np.zeros(_BEFORE + start - first, np.float32)]
        self._state = self._network.begin()
        self._first = start // OUTPUT
        self._moment = first // OUTPUT - self._network.delay
        self._followers = {name: _Follower(rule) for name, rule in RULES.items()}

    def _score(self, at: int) -> Iterator[SoundHeard]:
        """Score a block; where the audio ended, silence is the rest of it."""
        samples = np.concatenate(self._pieces)[: _BEFORE + BLOCK]
        if not np.isfinite(samples).all():
            samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        padded = np.pad(samples, (0, _BEFORE + BLOCK - len(samples)))
        scores, self._state = self._network.score(padded, self._state)
        self._pieces = [padded[BLOCK:]]
        self._due += BLOCK
        heard = [
            (name, follower, column)
            for (name, follower), column in zip(self._followers.items(), scores.T, strict=True)
            if not follower.rests(column)
        ]
        for place in range(len(scores)):
            if self._first <= self._moment < -(-at // OUTPUT):
                for name, follower, column in heard:
                    found = follower.take(self._moment, float(column[place]))
                    yield from self._heard(name, found, at)
            self._moment += 1

    def _heard(
        self, name: str, sound: tuple[int, int, float] | None, at: int
    ) -> Iterator[SoundHeard]:
        if sound is not None:
            begin, end, confidence = sound
            end = min(end * OUTPUT, at)
            yield SoundHeard(self._channel, begin * OUTPUT, end, at, name, confidence)
