"""Tables, one row an utterance: CSV and Parquet. Several conversations share one table."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from streamer.errors import UserError
from streamer.sinks.exports.segments import Conversation, Segment

COLUMNS = {
    "session": str,
    "source": str,
    "utterance": str,
    "turn": int,
    "channel": str,
    "speaker": str,
    "start": float,
    "end": float,
    "emotion": str,
    "confidence": float,
    "abstained": bool,
    "valence": float,
    "arousal": float,
    "text": str,
    "text_status": str,
    "language": str,
    "overlap": float,
    "loudness_db": float,
    "pitch_hz": float,
    "pitch_range": float,
    "words_per_minute": float,
    "pause_ratio": float,
    "latency_ms": float,
}
"""Name and type; one column `p_LABEL` for each label of the models follows."""


def csv_table(conversations: Sequence[Conversation]) -> str:
    """Write CSV (RFC 4180) with a header."""
    written = io.StringIO(newline="")
    labels = _labels(conversations)
    table = csv.DictWriter(written, [*COLUMNS, *labels], lineterminator="\r\n")
    table.writeheader()
    table.writerows(_rows(conversations, labels))
    return written.getvalue()


def parquet_table(conversations: Sequence[Conversation]) -> bytes:
    """Write Parquet.

    Raises:
        UserError: if pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("parquet needs pyarrow, which comes with the extra 'export'") from None
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    labels = _labels(conversations)
    schema = pa.schema(
        [(name, types[kind]) for name, kind in COLUMNS.items()]
        + [(label, pa.float64()) for label in labels]
    )
    written = io.BytesIO()
    rows = _rows(conversations, labels)
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), written)
    return written.getvalue()


def _labels(conversations: Sequence[Conversation]) -> list[str]:
    return list(dict.fromkeys(f"p_{label}" for each in conversations for label in each.labels))


def _rows(conversations: Sequence[Conversation], labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        _row(conversation, each, labels)
        for conversation in conversations
        for each in conversation.segments
    ]


def _row(conversation: Conversation, segment: Segment, labels: Sequence[str]) -> dict[str, Any]:
    event = segment.event
    sound = event.acoustics.model_dump() if event.acoustics else {}
    row = {
        "session": conversation.session,
        "source": conversation.source,
        **{name: getattr(event, name, None) for name in COLUMNS if hasattr(event, name)},
        **{name: sound.get(name) for name in COLUMNS if name in sound},
        "speaker": segment.speaker,
        "start": segment.start,
        "end": segment.end,
        "valence": event.dimensions.valence if event.dimensions else segment.valence,
        "arousal": event.dimensions.arousal if event.dimensions else None,
        "latency_ms": round(event.latency_ms.total, 1),
    }
    return row | {label: event.probabilities.get(label.removeprefix("p_")) for label in labels}
