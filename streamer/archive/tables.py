"""Parquet tables of a whole archive: `utterances/` and `summaries/`, parts of many calls each.

Read by anything that reads Parquet: `duckdb -c "SELECT emotion, count(*) FROM 'OUT/utterances/*.parquet' GROUP BY 1"`.
Parts are added; a call that is analysed again is first taken out of the part that holds it.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from streamer.errors import UserError
from streamer.event_files import Recorded, read
from streamer.events import Summary
from streamer.sinks.exports.segments import Conversation, conversation
from streamer.sinks.exports.tables import parquet_table
from streamer.views import View

UTTERANCES, SUMMARIES = "utterances", "summaries"


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            "archive tables need pyarrow: pip install 'streamer-emotion[archive]'"
        ) from None
    return pa, parquet


def check() -> None:
    """Make sure that tables can be written.

    Raises:
        UserError: if pyarrow is not installed.
    """
    _arrow()


def add(folder: Path, files: Sequence[tuple[str, Path]]) -> None:
    """Add calls to the tables, as one part of each.

    Args:
        folder: the target.
        files: name of each call, and its event file.

    Raises:
        UserError: if an event file cannot be read.
    """
    pa, parquet = _arrow()
    conversations: list[Conversation] = []
    summaries: list[dict[str, Any]] = []
    for name, file in files:
        for recorded in read([file]):
            conversations.append(conversation(name, recorded.events))
            summaries += _summary_rows(name, recorded)
    part = f"part-{uuid.uuid4().hex[:12]}.parquet"
    _write(folder / UTTERANCES / part, parquet_table(conversations))
    if summaries:
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.Table.from_pylist(summaries, schema=_schema(pa)), sink)
        _write(folder / SUMMARIES / part, sink.getvalue().to_pybytes())


def remove(folder: Path, sessions: Collection[str]) -> None:
    """Take the rows of sessions out of all parts."""
    pa, parquet = _arrow()
    import pyarrow.compute as pc

    wanted = pa.array(sorted(sessions), pa.string())
    for table in (UTTERANCES, SUMMARIES):
        for part in sorted((folder / table).glob("part-*.parquet")):
            rows = parquet.read_table(part)
            kept = rows.filter(pc.invert(pc.is_in(rows["session"], wanted)))
            if kept.num_rows == rows.num_rows:
                continue
            if kept.num_rows == 0:
                part.unlink()
                continue
            sink = pa.BufferOutputStream()
            parquet.write_table(kept, sink)
            _write(part, sink.getvalue().to_pybytes())


def _summary_rows(name: str, recorded: Recorded) -> Iterator[dict[str, Any]]:
    """One row a speaker."""
    figures = next(
        (event for event in reversed(recorded.events) if isinstance(event, Summary)), None
    )
    view = View()
    for event in recorded.events:
        view.take(event)
    found = figures or view.figures()
    began = view.began
    for speaker, talk in found.talk.items():
        row: dict[str, Any] = {
            "call": name,
            "session": recorded.session,
            "source": began.source if began else "",
            "model": f"{began.model.name} {began.model.version}" if began else "",
            "duration": found.duration,
            "speaker": speaker,
            "seconds": talk.seconds,
            "share": talk.share,
            "turns": talk.turns,
            "longest_turn": talk.longest_turn,
            "words_per_minute": talk.words_per_minute,
            "loudness_db": talk.loudness_db,
            "overall": talk.overall,
            "interruptions": talk.interruptions.count,
            "response_time": found.response_time.get(speaker),
            "non_talk": found.non_talk.seconds,
            "overlap": found.overlap.seconds,
            "alerts": sum(found.alerts.values()),
            "gaps": found.gaps.count,
            "abstained": found.abstained,
        }
        for number, period in enumerate(talk.quarters, 1):
            row[f"quarter_{number}"] = period.score
        yield row


_TEXTS = ("call", "session", "source", "model", "speaker")
_COUNTS = ("turns", "interruptions", "alerts", "gaps")
_NUMBERS = (
    *("duration", "seconds", "share", "longest_turn", "words_per_minute", "loudness_db", "overall"),
    *("response_time", "non_talk", "overlap", "abstained"),
    *("quarter_1", "quarter_2", "quarter_3", "quarter_4"),
)


def _schema(pa: Any) -> Any:
    """The columns of summaries: the same in every part, whatever is unknown in its calls."""
    return pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [(name, pa.int64()) for name in _COUNTS]
        + [(name, pa.float64()) for name in _NUMBERS]
    )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(data)
    partial.replace(path)
