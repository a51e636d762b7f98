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
from streamer.files import write_atomically
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


def new_part() -> str:
    """Give the name of a part that is not there yet."""
    return f"part-{uuid.uuid4().hex[:12]}.parquet"


def discard(folder: Path, part: str) -> None:
    """Remove a part that may have been written in one table only."""
    for table in (UTTERANCES, SUMMARIES):
        (folder / table / part).unlink(missing_ok=True)


def add(folder: Path, part: str, files: Sequence[tuple[str, Path]]) -> None:
    """Add calls to the tables, as one part of each.

    Args:
        folder: the target.
        part: name of the new part.
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
    for table in (UTTERANCES, SUMMARIES):
        (folder / table).mkdir(exist_ok=True)
    utterances = parquet.read_table(pa.BufferReader(parquet_table(conversations)))
    names = [each.name for each in conversations for _ in each.segments]
    _write(
        folder / UTTERANCES / part, utterances.add_column(0, "call", pa.array(names, pa.string()))
    )
    if summaries:
        _write(folder / SUMMARIES / part, pa.Table.from_pylist(summaries, schema=_schema(pa)))


def remove(folder: Path, calls: Collection[str]) -> None:
    """Take the rows of calls out of all parts."""
    pa, parquet = _arrow()
    import pyarrow.compute as pc

    wanted = pa.array(sorted(calls), pa.string())
    for table in (UTTERANCES, SUMMARIES):
        for part in sorted((folder / table).glob("part-*.parquet")):
            rows = parquet.read_table(part)
            kept = rows.filter(pc.invert(pc.is_in(rows["call"], wanted)))
            if kept.num_rows == 0:
                part.unlink()
            elif kept.num_rows < rows.num_rows:
                _write(part, kept)


def _write(path: Path, table: Any) -> None:
    pa, parquet = _arrow()
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())


def _summary_rows(name: str, recorded: Recorded) -> Iterator[dict[str, Any]]:
    """Return one row a speaker."""
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
    """Return the columns of summaries: the same in every part, whatever is unknown in its calls."""
    return pa.schema(
        [(name, pa.string()) for name in _TEXTS]
        + [(name, pa.int64()) for name in _COUNTS]
        + [(name, pa.float64()) for name in _NUMBERS]
    )
