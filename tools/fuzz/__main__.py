"""`python -m tools.fuzz TARGET --count N`: mutated inputs, tried in a process of their own."""

import sys
from collections.abc import Sequence

from tools.command_line import dispatch

COMMANDS = {
    "recordings": ("tools.fuzz.recordings", "wav, mp3, flac, ogg, m4a and mkv files"),
    "commands": ("tools.fuzz.commands", "payloads of commands over MQTT"),
    "outboxes": ("tools.fuzz.outboxes", "files of undelivered MQTT events"),
    "configurations": ("tools.fuzz.configurations", "YAML files, environment and --set"),
    "bundles": ("tools.fuzz.bundles", "directories of models"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one target."""
    return dispatch("tools.fuzz", __doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
