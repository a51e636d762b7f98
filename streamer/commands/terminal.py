"""The terminal that a command runs in."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_noise(*, debug: bool) -> Iterator[None]:
    """Keep what sound libraries print on stderr, past Python, off the terminal; the program's own lines stay.

    Args:
        debug: let it through.
    """
    if debug:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    before = sys.stderr
    with open(kept, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as ours:  # noqa: PTH123 - a descriptor
        moved = [handler for handler in handlers if handler.stream is before]
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        sys.stderr = ours
        for handler in moved:
            handler.setStream(ours)
        try:
            yield
        finally:
            ours.flush()
            os.dup2(kept, 2)
            sys.stderr = before
            for handler in moved:
                handler.setStream(before)
