"""`python -m tools.benchmark COMMAND`: each command is one module; a new one is one line here."""

import sys
from collections.abc import Sequence

from tools.command_line import dispatch

COMMANDS = {
    "all": (
        "tools.benchmark.everything",
        "all of them in short, about five minutes; what happens without a command",
    ),
    "frontend": (
        "tools.benchmark.frontend",
        "the audio branch: LEAF beside its direct form, the network, the stream",
    ),
    "analysis": (
        "tools.benchmark.analysis",
        "CPU time for each second of a conversation, stage by stage and whole",
    ),
    "capacity": (
        "tools.benchmark.capacity",
        "the largest number of live conversations that one process follows",
    ),
    "latency": (
        "tools.benchmark.latency",
        "from the end of speech to its event, live on a virtual sound card, beside a stopwatch",
    ),
    "agreement": (
        "tools.benchmark.agreement",
        "whether live listening on a virtual sound card hears what a replay hears",
    ),
    "load": (
        "tools.benchmark.load",
        "what live listening gives up beside busy processes, and whether it says so",
    ),
    "soak": (
        "tools.benchmark.soak",
        "memory and cost over hours, or a day, of one conversation",
    ),
    "archive": (
        "tools.benchmark.archive",
        "hours of recorded calls in an hour, with one job and with several",
    ),
    "kills": (
        "tools.benchmark.kills",
        "whether an archive that is killed at random moments ends with one whole event file a call",
    ),
    "scale": (
        "tools.benchmark.scale",
        "a simulation: archives on 10, 100, 1,000 nodes, and what limits them",
    ),
    "gpu": (
        "tools.benchmark.gpu",
        "the same calls on a graphics card and on the processor: labels and speed",
    ),
    "compose": (
        "tools.benchmark.composed",
        "make an archive of calls of all lengths out of recordings",
    ),
    "startup": (
        "tools.benchmark.startup",
        "time until --help is printed, and until everything is ready to listen",
    ),
    "mqtt": (
        "tools.benchmark.mqtt",
        "events per second to a broker, and the time from an event to a subscriber",
    ),
    "delivery": (
        "tools.benchmark.delivery",
        "whether MQTT events arrive through killed brokers, bad links, full disks and odd clocks",
    ),
    "fleet": (
        "tools.benchmark.fleet",
        "many simulated nodes at one broker: messages per second, delay and memory of a watcher",
    ),
    "realtimestt": (
        "tools.benchmark.realtimestt",
        "words, latency and CPU beside RealtimeSTT, the same recording in real time",
    ),
    "server": (
        "tools.benchmark.server",
        "conversations over WebSockets at a server, alone and beside connections that misbehave",
    ),
}


def with_command(argv: Sequence[str]) -> list[str]:
    """Return the arguments; `all` in front if they name no command and do not ask for help."""
    named = argv[:1] and (argv[0] in ("-h", "--help") or not argv[0].startswith("-"))
    return list(argv) if named else ["all", *argv]


if __name__ == "__main__":
    sys.exit(
        dispatch(
            "python -m tools.benchmark",
            "Measure what things cost, as a table and as JSON. Times fail nothing.",
            COMMANDS,
            with_command(sys.argv[1:]),
        )
    )
