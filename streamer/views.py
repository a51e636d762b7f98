"""The state of a conversation, from its events: who speaks, moods, figures, latency.

The one reducer: the terminal, MQTT state, the subscriber, reports and the `summary` event all read it, so
that a conversation has the same figures live, replayed and from a stored file.
"""

import copy
import heapq
import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from streamer import events
from streamer.turn_taking import Turns, TurnTaking
from streamer.valence import expected_valence

SCALE = 5.0
"""A score is a mean valence times this."""

_REORDERED = 256
"""Utterances that may arrive before one that began earlier."""
_MOODS = 24
_LATENCIES = 500
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
    """What one speaker has said so far; times in seconds."""

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
        return _score(self.valence.mean())

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

    def _count_words(self, words: float, seconds: float) -> None:
        self.words += words
        self.worded += seconds


@dataclass(slots=True)
class Channel:
    """The present of one channel."""

    name: str
    speaking: str | None = None
    """Id of the utterance that goes on."""
    estimate: dict[str, float] = field(default_factory=dict)
    """Probabilities of the utterance that goes on, as far as they are known."""
    text: str = ""
    """First words of the utterance that goes on, as far as they are known."""
    utterance: events.Utterance | None = None
    """The latest."""
    since: datetime | None = None
    """When the emotion became the latest one."""
    mood: events.Mood | None = None
    """The latest."""
    moods: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=_MOODS))
    time: datetime | None = None
    """When the latest event about the channel was made."""
    end: float = 0.0
    """Where it ends on the audio's clock."""

    def begin(self, utterance: str | None) -> None:
        """Begin an utterance, of which nothing is known yet; None: nobody speaks."""
        self.speaking, self.estimate, self.text = utterance, {}, ""


class View:
    """The state of one conversation. `session_started` begins another one."""

    def __init__(self) -> None:
        self._begin(None)

    def _begin(self, event: events.SessionStarted | None) -> None:
        self.began = event
        self.ended: events.SessionEnded | None = None
        self.session = ""
        self.channels = {name: Channel(name) for name in (event.channels if event else ())}
        self.speakers: dict[str, Speaker] = {}
        self.position = 0.0
        """How far the conversation is, in seconds of audio."""
        self.utterances = 0
        self.abstained = 0
        self.gaps = 0
        self.lost = 0.0
        """Seconds of lost audio."""
        self.errors = 0
        self.alerts: Counter[str] = Counter()
        """Alerts by rule."""
        self.active: dict[tuple[str, str | None], events.Alert] = {}
        """Alerts that still hold, by rule and speaker."""
        self.latencies: deque[float] = deque(maxlen=_LATENCIES)
        """Milliseconds from the end of speech to the event, the latest."""
        self._turns = TurnTaking()
        self._recent: list[tuple[float, float, str]] = []

    def take(self, event: events.Event) -> None:
        """Take the next event."""
        match event:
            case events.SessionStarted():
                self._begin(event)
            case events.SpeechStarted():
                self._channel(event).begin(event.utterance)
            case events.SpeechUpdate():
                channel = self._channel(event)
                channel.speaking, channel.estimate = event.utterance, event.probabilities
                channel.text = event.text or ""
            case events.Utterance():
                self._utterance(event)
            case events.Mood():
                channel = self._channel(event)
                channel.mood = event
                channel.moods.append(event.probabilities)
            case events.Gap():
                self.gaps += 1
                self.lost += max(0.0, _wire(event.end) - _wire(event.start))
                self.reach(event.end)
            case events.Alert():
                self._alert(event)
            case events.Error():
                self.errors += 1
            case events.SessionEnded():
                self._end(event)
            case _:
                pass
        self.session = event.session or self.session

    def reach(self, position: float) -> None:
        """Note how far the audio has come, in seconds."""
        self.position = max(self.position, _wire(position))

    def talk_share(self, speaker: str) -> float:
        """Return a speaker's share of all talk time so far."""
        total = sum(each.seconds for each in self.speakers.values())
        return self.speakers[speaker].seconds / total if speaker in self.speakers and total else 0.0

    def figures(self) -> events.Figures:
        """Return the figures of the conversation so far."""
        turns = copy.deepcopy(self._turns)
        for start, end, speaker in sorted(self._recent):
            turns.add(speaker, start, end)
        silent, longest = turns.silence_until(self.position)
        answering = {name: each.responses for name, each in sorted(turns.speakers.items())}
        return events.Figures(
            duration=_wire(self.position),
            talk={name: self._talk(name, turns) for name in sorted(self.speakers)},
            non_talk=events.NonTalk(seconds=_wire(silent), longest=_wire(longest)),
            overlap=events.Amount(count=turns.overlaps, seconds=_wire(turns.overlap_seconds)),
            response_time={
                name: _wire(median(times)) for name, times in answering.items() if times
            },
            alerts=dict(sorted(self.alerts.items())),
            gaps=events.Amount(count=self.gaps, seconds=_wire(self.lost)),
            abstained=round(self.abstained / self.utterances, 4) if self.utterances else 0.0,
        )

    def _talk(self, name: str, turn_taking: TurnTaking) -> events.Talk:
        speaker, turns = self.speakers[name], turn_taking.speakers.get(name, Turns())
        quarter = self.position / 4
        edges = [(quarter * i, quarter * (i + 1)) for i in range(4)]
        return events.Talk(
            seconds=_wire(speaker.seconds),
            share=round(min(1.0, self.talk_share(name)), 4),
            turns=turns.count,
            longest_turn=_wire(turns.longest),
            words_per_minute=speaker.words_per_minute,
            loudness_db=speaker.loudness_db,
            emotions={
                label: round(min(1.0, seconds / speaker.seconds), 4)
                for label, seconds in sorted(speaker.emotions.items())
                if speaker.seconds
            },
            overall=speaker.overall,
            quarters=[
                events.Period(
                    start=_wire(start),
                    end=_wire(end),
                    score=_score(speaker.valence.mean_within(start, end)),
                )
                for start, end in edges
            ],
            interruptions=events.Amount(
                count=turns.interruptions, seconds=_wire(turns.interruption_seconds)
            ),
        )

    def _utterance(self, event: events.Utterance) -> None:
        channel = self._channel(event)
        if channel.speaking in (None, "", event.utterance):
            channel.begin(None)
        before = channel.utterance
        if before is None or before.emotion != event.emotion:
            channel.since = event.time
        channel.utterance = event
        name = speaker_of(event)
        speaker = self.speakers.setdefault(name, Speaker(name, event.channel))
        start, end = _wire(event.start), max(_wire(event.end), _wire(event.start))
        speaker.add(event, start, end)
        self.utterances += 1
        self.abstained += event.abstained
        self.latencies.append(event.latency_ms.total)
        heapq.heappush(self._recent, (start, end, name))
        if len(self._recent) > _REORDERED:
            first, last, earliest = heapq.heappop(self._recent)
            self._turns.add(earliest, first, last)

    def _alert(self, event: events.Alert) -> None:
        key = event.rule, event.speaker
        self.reach(event.at)
        if event.active:
            self.alerts[event.rule] += 1
            self.active[key] = event
        else:
            self.active.pop(key, None)

    def _end(self, event: events.SessionEnded) -> None:
        self.ended = event
        self.position = max(self.position, _wire(event.duration))
        self.active = {}
        for channel in self.channels.values():
            channel.begin(None)

    def _channel(
        self, event: events.SpeechStarted | events.SpeechUpdate | events.Utterance | events.Mood
    ) -> Channel:
        channel = self.channels.setdefault(event.channel, Channel(event.channel))
        channel.time, channel.end = event.time, event.end
        self.reach(event.end)
        return channel


def view(stream: Iterable[events.Event]) -> View:
    """Return the state of a conversation after its events, live or stored.

    Of several conversations, one after the other, the last is returned.
    """
    state = View()
    for event in stream:
        state.take(event)
    return state


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


def _wire(seconds: float) -> float:
    """Round as the wire does, so that live events count like stored ones."""
    return round(seconds, 3)


def _score(mean: float | None) -> float | None:
    return None if mean is None else round(max(-SCALE, min(SCALE, SCALE * mean)), 2) + 0.0
