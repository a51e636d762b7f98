"""Conversations composed by hand: who speaks from when to when, and how."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from streamer import events

BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LABELS = ["angry", "happy", "neutral", "sad"]


@dataclass(frozen=True)
class Said:
    """An utterance; times in seconds."""

    channel: str
    start: float
    end: float
    emotion: str | None = "neutral"
    text: str | None = "well then"
    fields: dict = field(default_factory=dict)


def certain(label: str | None) -> dict[str, float]:
    return {} if label is None else {each: float(each == label) for each in LABELS}


def compose(
    said: Iterable[Said],
    duration: float,
    *,
    session: str = "call",
    more: Iterable[tuple[type, dict]] = (),
) -> list[events.Event]:
    """The events of a conversation in the order of audio time; `more` come before its end."""
    said = sorted(said, key=lambda each: (each.end, each.start))
    channels = sorted({each.channel for each in said}) or ["mono"]
    made: list[events.Event] = []

    def emit(kind, clock=0.0, **fields):
        time = BEGIN + timedelta(seconds=clock)
        made.append(kind(session=session, seq=len(made), time=time, **fields))

    emit(
        events.SessionStarted,
        source=f"{session}.wav",
        channels=channels,
        model=events.Model(name="test", version="1"),
        labels=LABELS,
        asr="none",
        streamer_version="0",
    )
    for turn, each in enumerate(said):
        place = {"channel": each.channel, "start": each.start, "end": each.end}
        utterance = f"{session}:{each.channel}:{int(each.start * 16000)}"
        emit(events.SpeechStarted, each.end, **place, utterance=utterance)
        probabilities = certain(each.emotion)
        emit(
            events.Utterance,
            each.end,
            **{
                **place,
                "utterance": utterance,
                "turn": turn,
                "emotion": each.emotion,
                "confidence": 1.0 if each.emotion else 0.0,
                "probabilities": probabilities,
                "abstained": each.emotion is None,
                "text": each.text,
                "text_status": "ok" if each.text is not None else "withheld",
                "modalities": ["audio"],
                "language": "en",
                "latency_ms": events.Latency(endpoint=500, transcription=0, analysis=9, total=509),
                **each.fields,
            },
        )
        if probabilities:
            emit(events.Mood, each.end, **place, probabilities=probabilities, trend="steady")
    for kind, fields in more:
        emit(kind, duration, **fields)
    emit(
        events.SessionEnded,
        duration,
        duration=duration,
        utterances=len(said),
        gaps=sum(kind is events.Gap for kind, _ in more),
        errors=sum(kind is events.Error for kind, _ in more),
        reason="finished",
    )
    return made
