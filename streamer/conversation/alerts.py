"""Rules that raise alerts, evaluated on the events of a conversation."""

import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer import events
from streamer.settings.alerts import (
    EmotionRule,
    GapRule,
    OverlapRule,
    PhraseRule,
    Rule,
    SilenceRule,
    ValenceRule,
)
from streamer.talk import speaker_of, valence

_EVIDENCE = 20
"""Utterances that an alert names, the latest."""
_HYSTERESIS = 0.2
"""How far a value must fall back until an alert is over, unless the rule says."""
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "HANGUL")
"""Scripts, by the names of their characters, whose words are not set apart by spaces."""


@dataclass(frozen=True, slots=True)
class Alert:
    """The fields of an `alert` event."""

    rule: str
    active: bool
    at: float
    since: float
    speaker: str | None = None
    evidence: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, Any]:
        """Return them by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class AlertRules:
    """Follows a conversation and raises the alerts of its rules.

    An alert is raised once and stays active until what it is about is over; then, and after its
    cool-down, the rule may raise it again.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._watches = [_watch(rule) for rule in rules]

    def take(self, event: events.Event) -> list[Alert]:
        """Return the alerts that an event raises or ends."""
        return [alert for watch in self._watches for alert in watch.take(event)]

    def advance(self, position: float) -> list[Alert]:
        """Return the alerts that are due because the audio has come this far, in seconds."""
        return [alert for watch in self._watches for alert in watch.advance(position)]


@dataclass(slots=True)
class _Run:
    """One rule's state for one speaker; times in seconds."""

    since: float = 0.0
    matches: int = 0
    evidence: deque[str] = field(default_factory=lambda: deque(maxlen=_EVIDENCE))
    active: bool = False
    quiet_until: float = 0.0


class _Watch:
    """Raises and ends the alerts of one rule."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._runs: dict[str | None, _Run] = {}

    def take(self, event: events.Event) -> Iterator[Alert]:  # noqa: ARG002 - for the rules of that kind
        yield from ()

    def advance(self, position: float) -> Iterator[Alert]:  # noqa: ARG002 - for the rules of that kind
        yield from ()

    def _concerns(self, speaker: str, channel: str) -> bool:
        return self._rule.speaker in (None, speaker, channel)

    def _run(self, speaker: str | None) -> _Run:
        return self._runs.setdefault(speaker, _Run())

    def _raise(self, run: _Run, speaker: str | None, at: float) -> Iterator[Alert]:
        if not run.active and at >= run.quiet_until:
            run.active = True
            run.quiet_until = at + self._rule.cooldown
            yield self._alert(run, speaker, at)

    def _end(self, run: _Run, speaker: str | None, at: float) -> Iterator[Alert]:
        if run.active:
            run.active = False
            yield self._alert(run, speaker, at)
        run.matches = 0
        run.evidence.clear()

    def _alert(self, run: _Run, speaker: str | None, at: float) -> Alert:
        since = min(run.since, at)
        return Alert(self._rule.name, run.active, at, since, speaker, list(run.evidence))


class _UtteranceWatch(_Watch):
    """A rule on a value of each utterance: matches from `above` on, and is over below `until`."""

    def __init__(
        self,
        rule: Rule,
        value: Callable[[events.Utterance], float | None],
        above: float,
        until: float,
        *,
        utterances: int = 1,
        seconds: float = 0.0,
    ) -> None:
        super().__init__(rule)
        self._value = value
        self._above, self._until = above, until
        self._utterances, self._seconds = utterances, seconds

    def take(self, event: events.Event) -> Iterator[Alert]:
        if not isinstance(event, events.Utterance):
            return
        speaker = speaker_of(event)
        value = self._value(event) if self._concerns(speaker, event.channel) else None
        if value is None:
            return
        run = self._run(speaker)
        if value >= self._above:
            if not run.matches:
                run.since = event.start
            run.matches += 1
            run.evidence.append(event.utterance)
            if run.matches >= self._utterances and event.end - run.since >= self._seconds:
                yield from self._raise(run, speaker, event.end)
        elif value < self._until:
            yield from self._end(run, speaker, event.end)


class _SilenceWatch(_Watch):
    """A rule on how long nobody, or the speaker of the rule, has spoken."""

    def __init__(self, rule: SilenceRule) -> None:
        super().__init__(rule)
        self._seconds = rule.seconds
        self._speaking: set[str] = set()
        self._last = 0.0

    def take(self, event: events.Event) -> Iterator[Alert]:
        match event:
            case events.SpeechStarted() if self._concerns(event.channel, event.channel):
                yield from self.advance(event.start)
                yield from self._end(self._run(None), self._rule.speaker, event.start)
                self._speaking.add(event.utterance)
                self._last = max(self._last, event.start)
            case events.Utterance() if self._concerns(speaker_of(event), event.channel):
                self._speaking.discard(event.utterance)
                self._last = max(self._last, event.end)
            case _:
                pass

    def advance(self, position: float) -> Iterator[Alert]:
        if not self._speaking and position - self._last >= self._seconds:
            run = self._run(None)
            run.since = self._last
            yield from self._raise(run, self._rule.speaker, self._last + self._seconds)


class _GapWatch(_Watch):
    """A rule on lost audio; it is over with the next utterance of the channel."""

    def __init__(self, rule: GapRule) -> None:
        super().__init__(rule)
        self._seconds = rule.seconds

    def take(self, event: events.Event) -> Iterator[Alert]:
        match event:
            case events.Gap() if self._concerns(event.channel, event.channel):
                if event.end - event.start >= self._seconds:
                    run = self._run(event.channel)
                    run.since = event.start
                    yield from self._raise(run, event.channel, event.end)
            case events.Utterance(channel=channel) if channel in self._runs:
                yield from self._end(self._runs[channel], channel, event.end)
            case _:
                pass


def _watch(rule: Rule) -> _Watch:
    match rule:
        case EmotionRule():
            until = max(0.0, rule.above - _HYSTERESIS) if rule.until is None else rule.until
            return _UtteranceWatch(
                rule,
                lambda event: event.probabilities.get(rule.emotion),
                rule.above,
                until,
                utterances=rule.utterances,
                seconds=rule.seconds,
            )
        case ValenceRule():
            over = rule.below + _HYSTERESIS if rule.until is None else rule.until
            return _UtteranceWatch(
                rule,
                _unpleasantness,
                -rule.below,
                -over,
                utterances=rule.utterances,
                seconds=rule.seconds,
            )
        case PhraseRule():
            pattern = phrase_pattern(rule.phrases)
            return _UtteranceWatch(rule, lambda event: _said(pattern, event), 1.0, 1.0)
        case OverlapRule():
            return _UtteranceWatch(
                rule, lambda event: event.overlap or 0.0, rule.seconds, rule.seconds
            )
        case SilenceRule():
            return _SilenceWatch(rule)
        case GapRule():
            return _GapWatch(rule)


def phrase_pattern(phrases: Sequence[str]) -> re.Pattern[str]:
    """Return what finds any of the phrases in a folded text (see `folded`), whole words only."""
    return re.compile("|".join(f"(?:{_phrase(folded(phrase))})" for phrase in phrases))


def folded(text: str) -> str:
    """Return a text so that case, width and the encoding of accents make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _phrase(phrase: str) -> str:
    words = phrase.split()
    if not words:
        return r"(?!)"
    first, last = words[0][0], words[-1][-1]
    begin = r"(?<!\w)" if _spaced(first) else ""
    end = r"(?!\w)" if _spaced(last) else ""
    return begin + r"\W+".join(re.escape(word) for word in words) + end


def _spaced(char: str) -> bool:
    return bool(re.match(r"\w", char)) and not unicodedata.name(char, "").startswith(_UNSPACED)


def _said(pattern: re.Pattern[str], event: events.Utterance) -> float:
    return float(bool(event.text and pattern.search(folded(event.text))))


def _unpleasantness(event: events.Utterance) -> float | None:
    value = valence(event)
    return None if value is None else -value
