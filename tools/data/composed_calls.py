"""`python -m tools.data.composed_calls`: composed dialogues as recordings with a channel for each speaker.

Each is NAME.ogg with NAME.turns.csv beside it, as `tools.evaluate recordings` reads them. The dialogues are those of
`mono_dialogues`, of speakers whom no bundle was trained on; every other one comes over a telephone.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import soundfile

from streamer.audio import SAMPLE_RATE, Samples, to_samples
from tools.data.mono_dialogues import HALVES, MonoDialogue, compose
from tools.progress import progress

BEFORE_S, AFTER_S = 0.05, 0.15
"""How far a channel reaches beyond its speaker's turn."""
ROOM = 10 ** (-70 / 20)
"""Level of the noise that both channels have throughout."""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.data.composed_calls", description=__doc__
    )
    parser.add_argument("--speech", type=Path, required=True, help="folder of manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--count", type=int, default=12, help="of each half (default 12)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default 0)")
    arguments = parser.parse_args()
    for half in HALVES:
        dialogues = compose(arguments.speech, half, arguments.count, seed=arguments.seed)
        for dialogue in progress(dialogues, f"Composing, {half}", total=arguments.count):
            write(dialogue, arguments.out)


def write(dialogue: MonoDialogue, folder: Path) -> None:
    """Write a dialogue as a recording and its turns."""
    folder.mkdir(parents=True, exist_ok=True)
    sound = folder / f"{dialogue.name}.ogg"
    soundfile.write(sound, channels(dialogue).T, SAMPLE_RATE, format="OGG", subtype="VORBIS")
    with (folder / f"{dialogue.name}.turns.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["start_s", "duration_s", "speaker", "emotion4"])
        for turn in dialogue.turns:
            length = round(turn.end - turn.start, 3)
            table.writerow([round(turn.start, 3), length, turn.speaker, turn.emotion4])


def channels(dialogue: MonoDialogue) -> Samples:
    """Give each speaker a channel, float32 [speakers, n]: silent but for the speaker's own turns."""
    names = sorted({turn.speaker for turn in dialogue.turns})
    rng = np.random.default_rng(len(dialogue.samples))
    sound = rng.normal(0.0, ROOM, (len(names), len(dialogue.samples))).astype(np.float32)
    for turn in dialogue.turns:
        first = max(0, to_samples(turn.start - BEFORE_S))
        here = slice(first, to_samples(turn.end + AFTER_S))
        sound[names.index(turn.speaker), here] += dialogue.samples[here]
    return sound


if __name__ == "__main__":
    main()
