"""Retained messages for later subscribers: the state of each speaker, and of the node.

Made from published events, so that they never reveal more.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from streamer import events
from streamer.views import Channel, View

BEHIND = "behind"
"""The reason of a gap that was dropped because analysis was behind."""


class SpeakerMood(BaseModel):
    """A speaker's mood."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    emotion: str
    """The likeliest label."""
    probabilities: events.Probabilities
    trend: events.Trend


class SpeakerState(BaseModel):
    """The payload of `state/CHANNEL`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    session: str
    channel: str
    time: datetime
    """Time of the latest event about the speaker."""
    end: events.Seconds
    """Its end on the audio's clock."""
    speaking: bool = False
    emotion: str | None = None
    confidence: events.Probability | None = None
    abstained: bool | None = None
    since: datetime | None = None
    """When the emotion became this one."""
    mood: SpeakerMood | None = None
    talk_share: events.Share | None = None
    """The channel's share of all talk time so far."""
    overall: events.Score | None = None
    """Mean valence so far; of the longest speaker if the channel has several."""


class NodeState(BaseModel):
    """The payload of `diagnostics`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    session: str | None = None
    """The running conversation; null between conversations."""
    channels: list[str] = []
    """Names of its channels, or of the last one's."""
    time: datetime | None = None
    """Time of the node's latest event here."""
    utterances: int = 0
    errors: int = 0
    lag_ms: events.Milliseconds | None = None
    """From the end of the latest utterance's speech to its event."""
    lost_audio: events.Seconds = 0.0
    """Seconds of audio lost in this conversation, for any reason."""
    shed_audio: events.Seconds = 0.0
    """Those of them that were dropped because analysis was behind."""
    alerts: list[str] = []
    """Rules of alerts that are active."""
    given_up: int = 0
    """Events that could not be delivered since the publisher was started."""


class NodeView:
    """The states of a node, from its events: a view for each running conversation.

    `changed` holds the channels whose state has changed since it was last cleared.
    """

    def __init__(self) -> None:
        self.speakers: dict[str, SpeakerState] = {}
        self.node = NodeState()
        self.channels: list[str] = []
        self.labels: list[str] = []
        self.model: events.Model | None = None
        self.changed: set[str] = set()
        self.node_changed = False
        self._views: dict[str, View] = {}

    def take(self, event: events.Event) -> None:
        """Follow one event."""
        view = self._views.setdefault(event.session, View())
        view.take(event)
        match event:
            case events.SessionStarted():
                self._begin(event)
            case events.SpeechStarted() | events.Mood():
                self._speaker(view, event.channel)
            case events.Utterance():
                for channel in {event.channel, *(view.channels.keys() & self.speakers.keys())}:
                    self._speaker(view, channel)  # the others' share changes, too
                self._node(utterances=self.node.utterances + 1, lag_ms=event.latency_ms.total)
            case events.Gap():
                self._lose(event)
            case events.Alert():
                self._node(alerts=self._alerts())
            case events.Error():
                self._node(errors=self.node.errors + 1)
            case events.SessionEnded():
                self._end(event.session)
            case _:
                pass
        if self.node_changed:
            self._node(time=event.time)

    def gave_up(self, count: int) -> None:
        """Count events that will not be delivered."""
        self._node(given_up=self.node.given_up + count)

    def _begin(self, event: events.SessionStarted) -> None:
        self.speakers = {}
        self.channels = event.channels
        self.labels = event.labels
        self.model = event.model
        fresh = {"utterances": 0, "errors": 0, "lost_audio": 0.0, "shed_audio": 0.0}
        self._node(session=event.session, channels=event.channels, **fresh)

    def _lose(self, event: events.Gap) -> None:
        lost = event.end - event.start
        shed = lost if event.reason == BEHIND else 0.0
        self._node(lost_audio=self.node.lost_audio + lost, shed_audio=self.node.shed_audio + shed)

    def _end(self, session: str) -> None:
        view = self._views.pop(session)
        for channel, state in self.speakers.items():
            if state.speaking and state.session == session:
                self._speaker(view, channel)
        if self.node.session == session:
            self._node(session=None)
        if self.node.alerts:
            self._node(alerts=self._alerts())

    def _speaker(self, view: View, channel: str) -> None:
        self.speakers[channel] = _state(view, view.channels[channel])
        self.changed.add(channel)

    def _alerts(self) -> list[str]:
        return sorted({rule for view in self._views.values() for rule, _ in view.active})

    def _node(self, **fields: object) -> None:
        self.node = self.node.model_copy(update=fields)
        self.node_changed = True


def _state(view: View, channel: Channel) -> SpeakerState:
    """Return what is retained of a channel."""
    last = channel.utterance
    speakers = [each for each in view.speakers.values() if each.channel == channel.name]
    longest = max(speakers, key=lambda each: each.seconds, default=None)
    return SpeakerState(
        session=view.session,
        channel=channel.name,
        time=channel.time or datetime.now(UTC),
        end=channel.end,
        speaking=channel.speaking is not None,
        emotion=last.emotion if last else None,
        confidence=last.confidence if last else None,
        abstained=last.abstained if last else None,
        since=channel.since,
        mood=_mood(channel.mood) if channel.mood else None,
        talk_share=min(1.0, sum(view.talk_share(each.name) for each in speakers))
        if longest
        else None,
        overall=longest.overall if longest else None,
    )


def _mood(mood: events.Mood) -> SpeakerMood:
    best = max(mood.probabilities, key=mood.probabilities.__getitem__)
    return SpeakerMood(emotion=best, probabilities=mood.probabilities, trend=mood.trend)
