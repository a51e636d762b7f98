"""The wire, version 1: every event that leaves the program, and nothing else defines one.

One JSON object per event. Within a version a field is never renamed or retyped, new fields and types
may come, and readers ignore what they do not know.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
)

from streamer.event_fields import (
    Acoustics,
    Amount,
    Dimensions,
    Duration,
    Figures,
    Latency,
    Milliseconds,
    Modality,
    Model,
    NonTalk,
    Period,
    Probabilities,
    Probability,
    Score,
    Seconds,
    Share,
    Talk,
    TextStatus,
    Trend,
    Word,
)

__all__ = [
    "SCHEMA",
    "Acoustics",
    "Alert",
    "Amount",
    "Dimensions",
    "Duration",
    "Error",
    "Event",
    "Figures",
    "Gap",
    "Latency",
    "Mark",
    "Milliseconds",
    "Modality",
    "Model",
    "Mood",
    "NonTalk",
    "Period",
    "Probabilities",
    "Probability",
    "Score",
    "Seconds",
    "SessionEnded",
    "SessionStarted",
    "Share",
    "Sound",
    "SpeechStarted",
    "SpeechUpdate",
    "Summary",
    "Talk",
    "TextStatus",
    "Trend",
    "Utterance",
    "Word",
    "json_schema",
    "parse",
]

SCHEMA: Literal["streamer/1"] = "streamer/1"


def _rfc3339(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Event(BaseModel):
    """Base of all events."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, validate_by_name=True, validate_by_alias=True
    )

    schema_: Literal["streamer/1"] = Field(default=SCHEMA, alias="schema")
    session: str = Field(description="the conversation's id")
    seq: int = Field(ge=0, description="number of the event in its session, from 0, without holes")
    time: Annotated[AwareDatetime, PlainSerializer(_rfc3339)] = Field(
        description="wall time of the event, RFC 3339, UTC"
    )

    def to_json(self) -> str:
        """Return the event as one line of JSON, without the line's end."""
        return self.model_dump_json(by_alias=True)


class _AudioEvent(_Event):
    """Base of events about audio."""

    channel: str = Field(description="the channel's name: who speaks there")
    start: Seconds
    end: Seconds


class SessionStarted(_Event):
    """The first event of a session."""

    type: Literal["session_started"] = "session_started"
    source: str
    channels: list[str]
    model: Model
    labels: list[str]
    asr: str = Field(description="backend and model that transcribe, or none")
    streamer_version: str
    notes: list[str] = Field(
        default=[], description="how the source was read, where that might surprise"
    )


class SpeechStarted(_AudioEvent):
    """Speech is confirmed; exactly one `utterance` with the same id will follow."""

    type: Literal["speech_started"] = "speech_started"
    utterance: str = Field(description="the utterance's id, used by all events about it")


class SpeechUpdate(_AudioEvent):
    """An estimate while the person speaks, from the audio and the context so far."""

    type: Literal["speech_update"] = "speech_update"
    utterance: str
    probabilities: Probabilities
    text: str | None = Field(
        default=None,
        description="first words of it, which rarely change; null unless asr.partial is true",
    )


class Utterance(_AudioEvent):
    """An utterance is over: what it expresses, and how sure that is."""

    type: Literal["utterance"] = "utterance"
    utterance: str
    turn: int = Field(ge=0, description="number of the utterance in the conversation, from 0")
    emotion: str | None = Field(description="the likeliest label; null if it could not be judged")
    confidence: Probability
    probabilities: Probabilities
    abstained: bool = Field(description="the confidence is under the model's threshold")
    text: str | None = Field(description="the transcript, if text_status is ok")
    text_status: TextStatus
    modalities: list[Modality] = Field(description="what the judgement rests on")
    language: str | None
    latency_ms: Latency
    speaker: str | None = Field(
        default=None, description="who speaks; null: the channel stands for the speaker"
    )
    likely: list[str] | None = Field(
        default=None,
        description="prediction set: labels that are not ruled out, the likeliest first; holds the "
        "right one nine times in ten on development data",
    )
    dimensions: Dimensions | None = Field(
        default=None, description="null if the bundle has no head for them"
    )
    acoustics: Acoustics | None = None
    words: list[Word] | None = Field(default=None, description="null unless asr.words is true")
    overlap: Duration | None = Field(
        default=None, description="seconds of it during which someone else spoke"
    )


class Mood(_AudioEvent):
    """How a speaker's emotion moves: smoothed over that speaker's utterances."""

    type: Literal["mood"] = "mood"
    probabilities: Probabilities
    trend: Trend
    speaker: str | None = Field(
        default=None, description="who speaks; null: the channel stands for the speaker"
    )


class SpeakerMerged(_Event):
    """Two speakers of a channel turned out to be one; labels in earlier events stay as they are."""

    type: Literal["speaker_merged"] = "speaker_merged"
    channel: str
    speaker: str = Field(description="the label that is not used any more")
    into: str = Field(description="the speaker's label from now on")
    at: Seconds


class Gap(_AudioEvent):
    """Audio of a channel was lost."""

    type: Literal["gap"] = "gap"
    reason: str


class Mark(_Event):
    """A moment of a live conversation that was marked."""

    type: Literal["mark"] = "mark"
    at: Seconds
    label: str | None = Field(default=None, description="what it is called, if that was said")


class Error(_Event):
    """A part failed, and the stream goes on."""

    type: Literal["error"] = "error"
    part: str
    message: str


class Sound(_AudioEvent):
    """A non-verbal sound."""

    type: Literal["sound"] = "sound"
    sound: str = Field(description="laugh, sigh, cry, cough, music")
    confidence: Probability


class Alert(_Event):
    """A rule of the settings begins to match, or no longer does."""

    type: Literal["alert"] = "alert"
    rule: str = Field(description="the rule's name")
    active: bool = Field(default=True, description="false: the rule no longer matches")
    at: Seconds
    since: Seconds = Field(description="begin of what matched, on the audio's clock")
    speaker: str | None = Field(default=None, description="whom it is about, if anyone")
    evidence: list[str] = Field(default=[], description="ids of the utterances that matched")


class Summary(Figures, _Event):
    """The figures of the conversation so far."""

    type: Literal["summary"] = "summary"


class SessionEnded(_Event):
    """The last event of a session, however it ended."""

    type: Literal["session_ended"] = "session_ended"
    duration: Seconds
    utterances: int = Field(ge=0)
    gaps: int = Field(ge=0)
    errors: int = Field(ge=0)
    reason: str = Field(description="finished, interrupted, terminated or failed")


Event = Annotated[
    SessionStarted
    | SpeechStarted
    | SpeechUpdate
    | Utterance
    | Mood
    | SpeakerMerged
    | Gap
    | Mark
    | Sound
    | Alert
    | Summary
    | Error
    | SessionEnded,
    Field(discriminator="type"),
]

_adapter: TypeAdapter[Event] = TypeAdapter(Event)


def parse(data: str | bytes) -> Event:
    """Return the event that a line of JSON holds.

    Raises:
        pydantic.ValidationError: if it is not an event of this version.
    """
    return _adapter.validate_json(data)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "An event of streamer, version 1",
        **_adapter.json_schema(mode="serialization", by_alias=True),
    }
