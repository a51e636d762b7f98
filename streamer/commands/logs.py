"""What the program says on stderr: lines for people, or one JSON object each for programs."""

import json
import logging
import sys

from streamer.text import well_formed

TEXT = "streamer: %(levelname)s: %(message)s"
"""How a log record looks to people."""


class JsonLines(logging.Formatter):
    """A log record as a line of JSON: time (UTC), level, part, message, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        from datetime import UTC, datetime

        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": well_formed(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = well_formed(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def set_format(name: str) -> None:
    """Let all that is said from now on be `text` or `json`."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if name == "json" else logging.Formatter(TEXT))


def say(line: str, level: int = logging.INFO) -> None:
    """Say a line to the user, whatever the level of the log is."""
    handlers = [h for h in logging.getLogger().handlers if isinstance(h.formatter, JsonLines)]
    if not handlers:
        print(f"streamer: {line}", file=sys.stderr)
    record = logging.LogRecord("streamer", level, "", 0, line, None, None)
    for handler in handlers:
        handler.handle(record)
