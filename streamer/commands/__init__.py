"""The commands, one module each, and the options that several of them share.

Modules here import nothing heavy at the top: `streamer --help` reads all of them.
"""

import argparse
from typing import TYPE_CHECKING, Any

from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.settings.tree import Settings

Subparsers = Any
"""argparse's own class for these is private."""

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; failed while running; cannot do what was asked; interrupted, after a proper end."""


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the settings."""
    group = parser.add_argument_group("settings")
    group.add_argument(
        "--config", metavar="FILE", help="YAML file, or the name of one that comes with streamer"
    )
    group.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting, e.g. asr.backend=none; `streamer config` lists all",
    )


def load_settings(options: argparse.Namespace, **overrides: Any) -> "Settings":
    """Return the effective settings: file, then environment, then command line.

    Args:
        options: what `add_settings_options` has read.
        overrides: settings that an option of its own gives, dots written `__`; None counts as not given.

    Raises:
        UserError: see `configuration.load`.
    """
    from streamer.settings import load as configuration
    from streamer.settings import shipped as resources

    values: dict[str, Any] = {}
    for assignment in options.set:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment}: expected KEY=VALUE, e.g. asr.backend=none")
        values[key] = configuration.scalar(f"--set {key}", value, key)
    values |= {k.replace("__", "."): v for k, v in overrides.items() if v is not None}
    file = resources.configuration(options.config) if options.config else None
    settings = configuration.load(file, overrides=values)
    set_log(options, settings)
    return settings


def set_log(options: argparse.Namespace, settings: "Settings") -> None:
    """Log as much, and in the form, as the settings say; --debug wants all."""
    import logging

    from streamer.commands.logs import set_format

    if not options.debug:
        logging.getLogger().setLevel(settings.log.level.upper())
    set_format(settings.log.format)
