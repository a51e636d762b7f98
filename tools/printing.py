"""Tables of figures on standard output."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDTH = 200
"""Characters of a line where standard output is no terminal."""


def print_rows(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str | None = None,
) -> None:
    """Print a table, its first column on the left, the others on the right.

    Args:
        title: Above it.
        columns: Their names.
        rows: A cell for each column; one without cells is a rule.
        caption: Below it.
    """
    table = Table(title=title, caption=caption)
    for place, name in enumerate(columns):
        table.add_column(name.replace("_", " "), justify="right" if place else "left")
    for row in rows:
        if row:
            table.add_row(*map(str, row))
        else:
            table.add_section()
    Console(width=None if Console().is_terminal else _WIDTH).print(table)
