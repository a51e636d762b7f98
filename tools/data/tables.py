"""Tables of utterances: compressed CSV of a bounded length, with the columns that are needed."""

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamer.errors import UserError


def read_table(
    path: Path, columns: Sequence[str], most: int
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a gzipped CSV file, each with the number of its line.

    Args:
        path: the file.
        columns: those that it must have.
        most: lines that it may have.

    Raises:
        UserError: The file is not there or damaged, a column is missing, or there are too many lines.
    """
    if not path.is_file():
        raise UserError(f"{path.parent}: no {path.name} here; give the folder that holds one")
    try:
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: the column {missing[0]!r} is missing")
            for number, row in enumerate(reader, start=2):
                if number > most:
                    raise UserError(f"{path}: more than {most} lines")
                yield number, row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: damaged ({error})") from error
