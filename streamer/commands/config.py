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
    parser.add_argument(
        "--describe", action="store_true", help="print what each setting means, its bounds and unit"
    )
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings on standard output."""
    from streamer.settings import load as configuration

    settings = load_settings(options)
    text = configuration.describe() if options.describe else configuration.effective(settings)
    print(text, end="")
    return 0
