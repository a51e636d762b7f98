"""Exports: stored conversations in the formats of other programs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer.sinks.exports.annotation import eaf, rttm, textgrid
from streamer.sinks.exports.aws import aws
from streamer.sinks.exports.emotionml import emotionml
from streamer.sinks.exports.segments import Conversation, conversation
from streamer.sinks.exports.subtitles import srt, vtt
from streamer.sinks.exports.tables import csv_table, parquet_table

__all__ = ["FORMATS", "Conversation", "Format", "conversation"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its file suffix, and a writer of one conversation or of a table of several."""

    suffix: str
    one: Callable[[Conversation], str] | None = None
    table: Callable[[Sequence[Conversation]], str | bytes] | None = None

    def write(self, conversations: Sequence[Conversation]) -> bytes:
        """Write conversations: any number to a table, else exactly one."""
        if self.table:
            written = self.table(conversations)
        else:
            assert self.one is not None  # noqa: S101 - a format has one of both
            (only,) = conversations
            written = self.one(only)
        return written if isinstance(written, bytes) else written.encode()


FORMATS = {
    "csv": Format(".csv", table=csv_table),
    "parquet": Format(".parquet", table=parquet_table),
    "vtt": Format(".vtt", vtt),
    "srt": Format(".srt", srt),
    "rttm": Format(".rttm", rttm),
    "textgrid": Format(".TextGrid", textgrid),
    "eaf": Format(".eaf", eaf),
    "emotionml": Format(".emotionml", emotionml),
    "aws": Format(".json", aws),
}
"""By the name on the command line."""
