"""Types of the fields of events: bounded scalars, and objects within events."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

TextStatus = Literal["ok", "rejected", "failed", "skipped", "withheld"]
Modality = Literal["audio", "text", "video"]
Trend = Literal["improving", "steady", "worsening"]

Probability = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[
    float,
    Field(ge=0, description="seconds since the conversation began, on the audio's clock"),
    PlainSerializer(lambda value: round(value, 3)),
]
Duration = Annotated[
    float, Field(ge=0, description="seconds"), PlainSerializer(lambda value: round(value, 3))
]
Share = Annotated[float, Field(ge=0, le=1), PlainSerializer(lambda value: round(value, 4))]
Score = Annotated[
    float,
    Field(ge=-5, le=5, description="mean valence, -5 (unpleasant) to 5 (pleasant)"),
    PlainSerializer(lambda value: round(value, 2)),
]
Milliseconds = Annotated[float, Field(ge=0), PlainSerializer(lambda value: round(value, 1))]
Probabilities = Annotated[
    dict[str, Probability],
    Field(description="one probability for each label of the model"),
    PlainSerializer(lambda value: {label: round(p, 4) for label, p in value.items()}),
]


class _Part(BaseModel):
    """Base of objects within events."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Model(_Part):
    """The bundle that judges."""

    name: str
    version: str


class Latency(_Part):
    """Milliseconds from the end of speech to the event, and where they went."""

    endpoint: Milliseconds = Field(description="audio waited for to be sure that speech had ended")
    transcription: Milliseconds = Field(
        description="from the endpoint to the transcript; 0 if it was ready"
    )
    analysis: Milliseconds = Field(description="text embedding, context and fusion")
    total: Milliseconds = Field(description="from the end of speech to the event")


class Dimensions(_Part):
    """Emotion as two continuous dimensions."""

    valence: float = Field(ge=-1, le=1, description="-1 unpleasant to 1 pleasant")
    arousal: float = Field(ge=-1, le=1, description="-1 calm to 1 excited")


class Acoustics(_Part):
    """How an utterance sounds; null is what could not be measured."""

    loudness_db: float | None = Field(
        default=None, le=0, description="mean level of the speech in dB; 0 is full scale"
    )
    pitch_hz: float | None = Field(default=None, gt=0, description="median fundamental frequency")
    pitch_range: float | None = Field(
        default=None, ge=0, description="semitones between the 10th and 90th percentile of pitch"
    )
    words_per_minute: float | None = Field(default=None, ge=0)
    pause_ratio: float | None = Field(
        default=None, ge=0, le=1, description="share of the utterance that is silence"
    )


class Word(_Part):
    """A word of a transcript."""

    word: str
    start: Seconds
    end: Seconds
    confidence: Probability | None = None


class Amount(_Part):
    """Count and duration."""

    count: int = Field(ge=0)
    seconds: Duration


class Period(_Part):
    """A speaker's score in a part of the conversation; null if nothing was judged in it."""

    start: Seconds
    end: Seconds
    score: Score | None


class Talk(_Part):
    """One speaker's figures."""

    seconds: Duration
    share: Share = Field(description="of all speakers' talk time")
    turns: int = Field(ge=0)
    longest_turn: Duration
    words_per_minute: float | None = Field(ge=0)
    loudness_db: float | None = Field(le=0)
    emotions: dict[str, Share] = Field(
        description="share of speaking time by label; what is left was not judged or abstained"
    )
    overall: Score | None
    quarters: list[Period]
    interruptions: Amount = Field(description="of others by this speaker")


class NonTalk(_Part):
    """Time in which nobody speaks."""

    seconds: Duration
    longest: Duration


class Figures(_Part):
    """The figures of a conversation; docs/figures.md defines each."""

    duration: Seconds
    talk: dict[str, Talk] = Field(description="by speaker")
    non_talk: NonTalk
    overlap: Amount
    response_time: dict[str, Duration] = Field(description="median by speaker")
    alerts: dict[str, int] = Field(description="number of alerts by rule")
    gaps: Amount = Field(description="lost audio")
    abstained: Share = Field(description="of the utterances")
