"""`python -m tools.train COMMAND`: each command is one module; a new one is one line here."""

import sys

from tools.command_line import dispatch

COMMANDS = {
    "bundle": ("tools.train.bundle", "train the shipped bundle, stage by stage, on open data"),
}

if __name__ == "__main__":
    sys.exit(
        dispatch("python -m tools.train", "Train the models, reproducibly and resumably.", COMMANDS)
    )
