"""Meters of a live conversation in the terminal: loudness, lag, keys."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

    from streamer.control import LiveStatus

KEYS = "q quit · p pause · s summary · space mark"
_CELLS = 10
_QUIETEST = -60.0
"""Decibels under full scale at which the meter is empty."""
_HOT = -6.0
"""Decibels from which the meter warns of clipping."""


def level_meter(loudness: float) -> "Text":
    """Return a channel's loudness (root mean square, 1 is full scale) as a bar."""
    from rich.text import Text

    decibels = 20 * math.log10(max(loudness, 1e-6))
    filled = max(0, min(_CELLS, round((1 - decibels / _QUIETEST) * _CELLS)))
    return Text.assemble(
        ("▮" * filled, "red" if decibels > _HOT else "green"),
        ("▯" * (_CELLS - filled), "dim"),
        "  ",
    )


def status_line(status: "LiveStatus", latency: str) -> "Text":
    """Return how far analysis is behind, what was lost, and which keys there are."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    if status.paused:
        line.append("paused  ", "bold yellow")
    if status.behind:
        line.append(f"{status.lag:.1f} s behind  ", "bold red")
    if status.lost:
        line.append(f"{status.lost:.1f} s dropped  ", "red")
    if latency:
        line.append(f"{latency}  ", "dim")
    line.append(KEYS, "dim")
    return line
