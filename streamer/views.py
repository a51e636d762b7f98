"""The state of a conversation, from its events: who speaks, moods, figures, latency.

The one reducer: the terminal, MQTT state, the subscriber, reports and the `summary` event all read it, so
that a conversation has the same figures live, replayed and from a stored file.
"""

import copy
import heapq
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from streamer import events
from streamer.talk import Speaker, score, speaker_of, wire
from streamer.turn_taking import Turns, TurnTaking

_OPEN = 4096
"""Latest utterances whose order and speakers may still change without leaving a trace in the figures."""
_MOODS = 24
_LATENCIES = 500


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
            case events.SpeechStarted() | events.SpeechUpdate():
                self._speech(event)
            case events.Utterance():
                self._utterance(event)
            case events.Mood():
                channel = self._channel(event)
                channel.mood = event
                channel.moods.append(event.probabilities)
            case events.SpeakerMerged():
                self._merge(event.speaker, event.into)
            case events.Gap():
                self.gaps += 1
                self.lost += max(0.0, wire(event.end) - wire(event.start))
                self.reach(event.end)
            case events.Alert():
                self._alert(event)
            case events.Error():
                self.errors += 1
            case events.SessionEnded():
                self._end(event)
        self.session = event.session or self.session

    def reach(self, position: float) -> None:
        """Note how far the audio has come, in seconds."""
        self.position = max(self.position, wire(position))

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
            duration=wire(self.position),
            talk={name: self._talk(name, turns) for name in sorted(self.speakers)},
            non_talk=events.NonTalk(seconds=wire(silent), longest=wire(longest)),
            overlap=events.Amount(count=turns.overlaps, seconds=wire(turns.overlap_seconds)),
            response_time={name: wire(median(times)) for name, times in answering.items() if times},
            alerts=dict(sorted(self.alerts.items())),
            gaps=events.Amount(count=self.gaps, seconds=wire(self.lost)),
            abstained=round(self.abstained / self.utterances, 4) if self.utterances else 0.0,
        )

    def _talk(self, name: str, turn_taking: TurnTaking) -> events.Talk:
        speaker, turns = self.speakers[name], turn_taking.speakers.get(name, Turns())
        quarter = self.position / 4
        edges = [(quarter * i, quarter * (i + 1)) for i in range(4)]
        return events.Talk(
            seconds=wire(speaker.seconds),
            share=round(min(1.0, self.talk_share(name)), 4),
            turns=turns.count,
            longest_turn=wire(turns.longest),
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
                    start=wire(start),
                    end=wire(end),
                    score=score(speaker.valence.mean_within(start, end)),
                )
                for start, end in edges
            ],
            interruptions=events.Amount(
                count=turns.interruptions, seconds=wire(turns.interruption_seconds)
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
        start, end = wire(event.start), max(wire(event.end), wire(event.start))
        speaker.add(event, start, end)
        self.utterances += 1
        self.abstained += event.abstained
        self.latencies.append(event.latency_ms.total)
        heapq.heappush(self._recent, (start, end, name))
        if len(self._recent) > _OPEN:
            first, last, earliest = heapq.heappop(self._recent)
            self._turns.add(earliest, first, last)

    def _speech(self, event: events.SpeechStarted | events.SpeechUpdate) -> None:
        channel = self._channel(event)
        channel.begin(event.utterance)
        if isinstance(event, events.SpeechUpdate):
            channel.estimate, channel.text = event.probabilities, event.text or ""

    def _merge(self, speaker: str, into: str) -> None:
        """Count what a speaker said as another's, who turned out to be the same."""
        old = self.speakers.pop(speaker, None)
        if old is None or speaker == into:
            return
        self.speakers.setdefault(into, Speaker(into, old.channel)).include(old)
        self._turns.merge(speaker, into)
        self._recent = [(a, b, into if name == speaker else name) for a, b, name in self._recent]
        heapq.heapify(self._recent)

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
        self.position = max(self.position, wire(event.duration))
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
