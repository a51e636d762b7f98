"""`streamer mqtt`: look after what is kept at an MQTT broker."""

import argparse
import asyncio

from streamer.commands import Subparsers, add_settings_options, load_settings


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "mqtt",
        parents=parents,
        help="look after what an MQTT broker keeps",
        description="Look after what an MQTT broker keeps about a node.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions")
    forget = actions.add_parser(
        "forget",
        parents=parents,
        help="remove all retained messages of a node",
        description="Remove a node's retained messages: its state, its availability, and its "
        "device at Home Assistant. What waits in the outbox stays.",
    )
    forget.add_argument(
        "--mqtt", metavar="URL", help="broker: mqtt[s]:// or ws[s]://[USER@]HOST[:PORT][/PREFIX]"
    )
    forget.add_argument("--node", metavar="NAME", help="the publisher (default: this machine's)")
    forget.add_argument("--force", action="store_true", help="even if the node is online")
    add_settings_options(forget)
    forget.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Forget a node."""
    from streamer.errors import UserError
    from streamer.mqtt.forget import forget

    settings = load_settings(options, mqtt__node=options.node)
    if not (options.mqtt or settings.mqtt.url):
        raise UserError("no broker: give --mqtt mqtt://HOST, or set mqtt.url")
    count = asyncio.run(forget(settings, options.mqtt, force=options.force))
    print(f"{count} retained messages removed")
    return 0
