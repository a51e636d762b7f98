"""What is retained at the broker for those who come later: each speaker's latest, and how the node does.

Made from the events on their way out, so that it never says more than they do.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from streamer import events


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
    """When the latest event about the speaker was made."""
    end: events.Seconds
    """Where it ends on the audio's clock."""
    speaking: bool = False
    emotion: str | None = None
    confidence: events.Probability | None = None
    abstained: bool | None = None
    since: datetime | None = None
    """When the emotion became this one."""
    mood: SpeakerMood | None = None


class NodeState(BaseModel):
    """The payload of `diagnostics`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    session: str | None = None
    """The running conversation; null between conversations."""
    utterances: int = 0
    errors: int = 0
    lag_ms: events.Milliseconds | None = None
    """From the end of the latest utterance's speech to its event."""
    lost_audio: events.Seconds = 0.0
    """Seconds of audio lost in this conversation."""
    given_up: int = 0
    """Events that could not be delivered since the publisher was started."""


class NodeView:
    """Follows the events of a node.

    `changed` holds the channels whose state is new since it was last cleared.
    """

    def __init__(self) -> None:
        self.speakers: dict[str, SpeakerState] = {}
        self.node = NodeState()
        self.channels: list[str] = []
        self.labels: list[str] = []
        self.model: events.Model | None = None
        self.changed: set[str] = set()
        self.node_changed = False

    def take(self, event: events.Event) -> None:
        """Follow one event."""
        match event:
            case events.SessionStarted():
                self.speakers = {}
                self.channels = event.channels
                self.labels = event.labels
                self.model = event.model
                self._node(session=event.session, utterances=0, errors=0, lost_audio=0.0)
            case events.SpeechStarted():
                self._speaker(event, speaking=True)
            case events.Utterance():
                before = self.speakers.get(event.channel)
                same = before is not None and before.emotion == event.emotion
                self._speaker(
                    event,
                    speaking=False,
                    emotion=event.emotion,
                    confidence=event.confidence,
                    abstained=event.abstained,
                    since=before.since if same and before else event.time,
                )
                self._node(utterances=self.node.utterances + 1, lag_ms=event.latency_ms.total)
            case events.Mood():
                best = max(event.probabilities, key=event.probabilities.__getitem__)
                self._speaker(
                    event,
                    mood=SpeakerMood(
                        emotion=best, probabilities=event.probabilities, trend=event.trend
                    ),
                )
            case events.Gap():
                self._node(lost_audio=self.node.lost_audio + event.end - event.start)
            case events.Error():
                self._node(errors=self.node.errors + 1)
            case events.SessionEnded():
                self._end(event.session)
            case _:
                pass

    def gave_up(self, count: int) -> None:
        """Note events that will not be delivered."""
        self._node(given_up=self.node.given_up + count)

    def _end(self, session: str) -> None:
        for channel, state in self.speakers.items():
            if state.speaking and state.session == session:
                self.speakers[channel] = state.model_copy(update={"speaking": False})
                self.changed.add(channel)
        if self.node.session == session:
            self._node(session=None)

    def _speaker(
        self, event: events.SpeechStarted | events.Utterance | events.Mood, **fields: object
    ) -> None:
        state = self.speakers.get(event.channel) or SpeakerState(
            session=event.session, channel=event.channel, time=event.time, end=event.end
        )
        update = {"session": event.session, "time": event.time, "end": event.end, **fields}
        self.speakers[event.channel] = state.model_copy(update=update)
        self.changed.add(event.channel)

    def _node(self, **fields: object) -> None:
        self.node = self.node.model_copy(update=fields)
        self.node_changed = True
