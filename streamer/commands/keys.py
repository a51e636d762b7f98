"""Keys of the terminal that steer a live conversation."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.control import Control


def on_key(control: "Control") -> Callable[[str], None]:
    """Make the function that carries out the keys: q, p, s, space."""

    def press(key: str) -> None:
        match key:
            case "q":
                control.stop()
            case "p":
                control.paused = not control.paused
            case "s":
                control.summarize()
            case " ":
                control.mark()

    return press


@contextlib.contextmanager
def keys(press: Callable[[str], None]) -> Iterator[None]:
    """Call a function for each key pressed, if standard input is this program's terminal.

    The terminal is restored however the context is left.
    """
    if not _is_ours():
        yield
        return
    import termios
    import tty

    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        pressed = os.read(descriptor, 64)
        if not pressed:
            loop.remove_reader(descriptor)
        for key in pressed.decode(errors="ignore"):
            press(key)

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, read)
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _is_ours() -> bool:
    """Return whether the program is in the foreground of its terminal: in the background, reading it would stop it."""
    if not sys.stdin or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # somebody else's terminal
        return False
