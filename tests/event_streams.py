"""Conversations as streams of real events, without audio."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from streamer import events

LABELS = ["angry", "happy", "neutral", "sad"]
BEGIN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def conversation(
    count: int = 20, session: str = "call", channels: tuple[str, ...] = ("agent", "customer")
) -> Iterator[events.Event]:
    """The first `count - 1` events of a conversation, and its end.

    Each utterance is speech_started, three speech_update, utterance and mood; speakers take turns.
    """

    def common(seq: int) -> dict:
        return {"session": session, "seq": seq, "time": BEGIN + timedelta(seconds=seq)}

    yield events.SessionStarted(
        **common(0),
        source="a.wav",
        channels=list(channels),
        model=events.Model(name="test", version="1"),
        labels=LABELS,
        asr="none",
        streamer_version="0",
    )
    for seq in range(1, count - 1):
        turn, step = divmod(seq - 1, 6)
        emotion = LABELS[turn % 4]
        probabilities = {label: 0.7 if label == emotion else 0.1 for label in LABELS}
        channel = channels[turn % len(channels)]
        place = {"channel": channel, "start": 2.0 * turn, "end": 2.0 * turn + 0.5 * step}
        utterance = f"{session}/{channel}/{turn}"
        if step == 0:
            yield events.SpeechStarted(**common(seq), **place, utterance=utterance)
        elif step <= 3:
            yield events.SpeechUpdate(
                **common(seq), **place, utterance=utterance, probabilities=probabilities
            )
        elif step == 4:
            yield events.Utterance(
                **common(seq),
                **place,
                utterance=utterance,
                turn=turn,
                emotion=emotion,
                confidence=0.7,
                probabilities=probabilities,
                abstained=False,
                text="well then",
                text_status="ok",
                modalities=["audio", "text"],
                language="en",
                latency_ms=events.Latency(endpoint=500, transcription=50, analysis=9, total=559),
            )
        else:
            yield events.Mood(**common(seq), **place, probabilities=probabilities, trend="steady")
    yield events.SessionEnded(
        **common(count - 1),
        duration=2.0 * count,
        utterances=(count - 2) // 6,
        gaps=0,
        errors=0,
        reason="finished",
    )
