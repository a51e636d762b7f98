"""Progress bars of long work, on standard error: standard output carries results only."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], description: str, *, total: int | None = None
) -> Iterator[Item]:
    """Yield the same items, with a bar while they are worked on where somebody watches."""
    console = Console(stderr=True)
    yield from track(
        items, description, total=total, console=console, disable=not console.is_terminal
    )
