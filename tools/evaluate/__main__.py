"""`python -m tools.evaluate COMMAND`: each command is one module; a new one is one line here."""

import sys

from tools.command_line import dispatch

COMMANDS = {
    "speech": (
        "tools.evaluate.speech",
        "clips of speech with a manifest.csv, judged by audio alone",
    ),
    "conversations": (
        "tools.evaluate.conversations",
        "written dialogues in order, past only; voices can be added",
    ),
    "recordings": (
        "tools.evaluate.recordings",
        "recordings with turns and emotions, through the whole pipeline",
    ),
    "transcription": (
        "tools.evaluate.transcription",
        "recordings with a text beside each: the word error rate",
    ),
}

if __name__ == "__main__":
    sys.exit(
        dispatch(
            "python -m tools.evaluate",
            "Measure a bundle, with intervals, as a table and as JSON.",
            COMMANDS,
        )
    )
