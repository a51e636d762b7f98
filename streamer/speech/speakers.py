"""The speakers of one channel, by their voices: found as they speak, and never renamed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Voice = NDArray[np.float32]
"""A vector of length 1."""

_MEMORY = 60.0
"""Seconds of speech that a speaker's voice is the mean of: what is older fades."""
_SETTLED = 3.0
"""Seconds of speech after which two speakers may turn out to be one."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Similarities that distinguish speakers: cosines, 0 for people who have nothing in common."""

    new: float = 0.50
    """Speech of `long` seconds that is this far from all speakers is a new one's."""
    short_new: float = 0.43
    """The same for speech of `shortest` seconds; between the two the threshold rises evenly."""
    further: float = 0.18
    """A third speaker, or another, must be this much farther: most conversations have two."""
    shortest: float = 0.8
    """Seconds of speech from which a speaker may be a new one."""
    long: float = 2.4
    enrolled: float = 0.56
    """Speech with this cosine to the voice print of an enrolled person is theirs: 1 % of strangers reach it in 3 s."""
    merge: float = 0.68
    """Speakers this close are one."""

    def known(self, seconds: float, speakers: int = 1) -> float:
        """Return the cosine from which speech of so many seconds is one of so many known speakers'."""
        share = (seconds - self.shortest) / (self.long - self.shortest)
        least = self.short_new + (self.new - self.short_new) * min(1.0, max(0.0, share))
        return least - self.further if speakers > 1 else least


@dataclass(frozen=True, slots=True)
class Merged:
    """Two speakers turned out to be one; what was said under the other label stays as it is."""

    speaker: str
    into: str


@dataclass(slots=True)
class _Speaker:
    label: str
    total: NDArray[np.float64]
    """The vectors of what was said, each times its seconds."""
    voice: Voice
    seconds: float = 0.0
    named: bool = False
    """Whether the label is the name of an enrolled person."""

    def add(self, total: NDArray[np.float64], seconds: float) -> None:
        kept = min(1.0, _MEMORY / (self.seconds + seconds))
        self.total = (self.total + total) * kept
        self.seconds = (self.seconds + seconds) * kept
        self.voice = _unit(self.total)


class SpeakerClusters:
    """The speakers of one channel. Memory and cost depend on how many there are, not on how long they speak.

    Args:
        channel: The channel's name, which the labels begin with.
        most: How many there may be; further voices get the label of the closest.
        thresholds: What decisions depend on.
        enrolled: Voices of people who may speak, by name: their labels are their names.
    """

    def __init__(
        self,
        channel: str,
        most: int,
        thresholds: Thresholds | None = None,
        enrolled: Mapping[str, Voice] | None = None,
    ) -> None:
        self._channel = channel
        self._most = most
        self._thresholds = thresholds or Thresholds()
        self._enrolled = dict(enrolled or {})
        """People who have not been recognised yet."""
        self._speakers: list[_Speaker] = []
        self._found = 0
        self._latest = f"{channel}/1"

    def likeliest(self, voice: Voice | None) -> str:
        """Return the label of the closest speaker; without a voice, of who spoke last."""
        if voice is None or not self._speakers:
            return self._latest
        return self._closest(voice).label

    def similarities(self, voice: Voice) -> dict[str, float]:
        """Return how alike a voice and each speaker's are, by label."""
        return {each.label: float(each.voice @ voice) for each in self._speakers}

    def is_new(self, voice: Voice, seconds: float) -> bool:
        """Return whether speech of so many seconds is of nobody known."""
        thresholds = self._thresholds
        if not self._speakers:
            return True
        return (
            len(self._speakers) < self._most
            and seconds >= thresholds.shortest
            and max(self.similarities(voice).values())
            < thresholds.known(seconds, len(self._speakers))
        )

    def assign(self, voice: Voice | None, seconds: float) -> str:
        """Return the label of who said something, and learn their voice.

        Args:
            voice: Of what was said; None if it was too short for one.
            seconds: How long that is.
        """
        if voice is None:
            return self._latest
        if self.is_new(voice, seconds):
            name = self._name(voice)
            label = name or self._new_label()
            speaker = _Speaker(label, np.zeros(len(voice)), voice, named=bool(name))
            self._speakers.append(speaker)
        else:
            speaker = self._closest(voice)
        if seconds >= self._thresholds.shortest or not speaker.seconds:
            speaker.add(voice * np.float64(seconds), seconds)
        self._latest = speaker.label
        return speaker.label

    def merge(self) -> Merged | None:
        """Merge two speakers that turned out to be one, or give one a name; names and earlier labels stay in use."""
        settled = [each for each in self._speakers if each.seconds >= _SETTLED]
        for one in settled:
            if not one.named and (name := self._name(one.voice)):
                merged = self._relabelled(one.label, name)
                one.label, one.named = name, True
                return merged
        for place, one in enumerate(settled):
            for other in settled[place + 1 :]:
                if float(one.voice @ other.voice) >= self._thresholds.merge:
                    kept, gone = (other, one) if other.named and not one.named else (one, other)
                    kept.add(gone.total, gone.seconds)
                    self._speakers.remove(gone)
                    return self._relabelled(gone.label, kept.label)
        return None

    def _relabelled(self, label: str, into: str) -> Merged:
        self._latest = into if self._latest == label else self._latest
        return Merged(label, into)

    def _new_label(self) -> str:
        self._found += 1
        return f"{self._channel}/{self._found}"

    def _name(self, voice: NDArray[np.floating[Any]]) -> str | None:
        """Return the name of the enrolled person whose voice it is, who was not recognised before."""
        name = max(self._enrolled, key=lambda each: float(self._enrolled[each] @ voice), default="")
        if not name or float(self._enrolled[name] @ voice) < self._thresholds.enrolled:
            return None
        del self._enrolled[name]
        return name

    def _closest(self, voice: Voice) -> _Speaker:
        return max(self._speakers, key=lambda each: float(each.voice @ voice))


def _unit(total: NDArray[np.float64]) -> Voice:
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length > 0 else total, np.float32)
