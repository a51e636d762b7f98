"""The parser of the command line."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from streamer.commands import WRONG

_EMPTY = re.compile(r"--[a-z-]+=")


class Parser(argparse.ArgumentParser):
    """Explains in one line what is wrong, and may leave options for later.

    Options that cost imports are added once their command was chosen: see `later`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._later: list[Callable[[], None]] = []

    def later(self, add: Callable[[], None]) -> None:
        """Call a function that adds options, when this parser is first used."""
        self._later.append(add)

    def parse_known_args(  # type: ignore[override]  # the namespace is always argparse's own here
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """See `argparse`; adds first what was left for later."""
        waiting, self._later = self._later, []
        for add in waiting:
            add()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with one line on stderr."""
        self.exit(WRONG, f"{self.prog}: {message} ({self.epilog or '--help explains'})\n")


def refuse_empty(arguments: Sequence[str]) -> str:
    """Return what is wrong with empty arguments: usually a shell variable that is not set. "" if there are none."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument == "":
            return f"{before if before.startswith('-') else 'argument'}: empty"
        if _EMPTY.fullmatch(argument):
            return f"{argument.removesuffix('=')}: empty"
    return ""
