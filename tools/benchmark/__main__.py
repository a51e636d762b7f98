"""`python -m tools.benchmark COMMAND`: each command is one module; a new one is one line here."""

import sys

from tools.command_line import dispatch

COMMANDS = {
    "frontend": (
        "tools.benchmark.frontend",
        "the audio branch: LEAF beside its direct form, the network, the stream",
    ),
    "mqtt": (
        "tools.benchmark.mqtt",
        "events per second to a broker, and the time from an event to a subscriber",
    ),
}

if __name__ == "__main__":
    sys.exit(
        dispatch(
            "python -m tools.benchmark",
            "Measure what things cost, as a table and as JSON. Times fail nothing.",
            COMMANDS,
        )
    )
