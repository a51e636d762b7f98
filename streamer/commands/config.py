"""`streamer config`: the effective settings."""

import argparse

from streamer.commands import Subparsers, add_settings_options, load_settings


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "config",
        parents=parents,
        help="print the effective settings",
        description="Print the effective settings as YAML, secrets masked.",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--describe",
        action="store_true",
        help="print a file of all defaults with their meaning, unit and bounds",
    )
    form.add_argument(
        "--reference", action="store_true", help="print the same as a page (docs/configuration.md)"
    )
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings on standard output."""
    from streamer.settings import load as configuration

    if options.reference:
        from streamer.settings.reference import reference

        text = reference()
    elif options.describe:
        text = configuration.describe()
    else:
        text = configuration.effective(load_settings(options))
    print(text, end="")
    return 0
