"""`python -m tools.evaluate COMMAND`: each command is one module; a new one is one line here."""

import sys

from tools.command_line import dispatch

COMMANDS = {
    "endpoints": (
        "tools.evaluate.endpoints",
        "when utterances end, against turns in RTTM: cut turns and waiting",
    ),
    "segmentation": (
        "tools.evaluate.segmentation",
        "where speech is found in recordings, against turns in RTTM",
    ),
    "diarization": (
        "tools.evaluate.diarization",
        "who speaks when in one channel, against RTTM and composed dialogues of two voices",
    ),
    "voices": (
        "tools.evaluate.voices",
        "how well the speaker encoder tells people apart: equal error rates, thresholds of names",
    ),
    "sounds": (
        "tools.evaluate.sounds",
        "laughs, sighs, crying, coughs, music: found, and false ones an hour",
    ),
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
    "alarms": (
        "tools.evaluate.alarms",
        "events of calm recordings: confident labels and alerts an hour, label stability",
    ),
    "transcription": (
        "tools.evaluate.transcription",
        "recordings with a text beside each: the word error rate",
    ),
    "partials": (
        "tools.evaluate.partials",
        "words shown while they are spoken: how many, how soon, how often they change",
    ),
    "iemocap": (
        "tools.evaluate.iemocap",
        "a bundle of train iemocap on other sessions: context, words and sound as asked for",
    ),
    "report": (
        "tools.evaluate.report",
        "one page from the JSON of other evaluations: confusion, calibration, risk, speakers",
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
