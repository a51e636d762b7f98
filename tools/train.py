"""`python -m tools.train COMMAND`: each command is one module; a new one is one line here."""

import sys

from tools.command_line import dispatch

COMMANDS = {
    "adapt": (
        "tools.training.recipes.adapt",
        "a bundle for voices or a language of your own, from a few labelled clips",
    ),
    "bundle": (
        "tools.training.recipes.bundle",
        "train the shipped bundle, stage by stage, on open data",
    ),
    "labels": (
        "tools.training.recipes.labels",
        "train streamer-en-2 or streamer-open-1: Whisper's encoder, MiniLM, late fusion",
    ),
    "speaker-encoder": (
        "tools.training.recipes.speaker_encoder",
        "convert the speaker encoder GE2E out of the package resemblyzer",
    ),
    "sounds": (
        "tools.training.recipes.sounds",
        "the network that finds laughs, sighs, crying, coughs and music",
    ),
    "iemocap": (
        "tools.training.recipes.iemocap",
        "the research benchmark: four emotions in dyadic talk, from features and texts",
    ),
    "iemocap-release": (
        "tools.training.recipes.iemocap_release",
        "the same from the corpus as it is released: waveforms and transcripts",
    ),
    "layers": (
        "tools.training.recipes.layers",
        "which layers should adapt to other corpora, after which first task?",
    ),
    "metaser": (
        "tools.training.recipes.metaser",
        "does a meta-learnt beginning help languages with few examples?",
    ),
    "zoo": (
        "tools.training.recipes.zoo",
        "a published system of the zoo, on the protocol of all of them",
    ),
    "zoo-iemocap": (
        "tools.training.recipes.zoo_iemocap",
        "a published system of the zoo on IEMOCAP's features, a session left out in turn",
    ),
}

if __name__ == "__main__":
    sys.exit(
        dispatch("python -m tools.train", "Train the models, reproducibly and resumably.", COMMANDS)
    )
