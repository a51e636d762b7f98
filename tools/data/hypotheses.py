"""`python -m tools.data.hypotheses`: texts spoken by synthetic voices, and what the recogniser makes of them.

Each text is spoken by one of the voices of espeak-ng and flite, put into a room, noise or a telephone, and transcribed
as the program does it. A line of the file is one text: {"text", "voice", "hypothesis"}; an interrupted run goes on.
"""

import argparse
import json
import subprocess
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.transcription import Transcriber
from streamer.transcription.registry import make_transcriber
from tools.data.augmentation import Augmentation, Recipe, Wave, synthetic_room
from tools.data.cache import DEFAULT_CACHE, open_clips
from tools.data.conversations import in_split, read_dialogues
from tools.data.decoding import decode
from tools.data.manifest import NOISE
from tools.progress import progress

ESPEAK = ("en-us", "en-gb", "en-us+f2", "en-us+f4", "en-us+m3", "en-us+m7", "en-gb-scotland+f3")
FLITE = ("slt", "rms", "awb", "kal16")
"""Voices of flite that are built into it."""

CONDITIONS = Recipe(
    gain_db=(-15.0, 0.0), noise=0.7, snr_db=(2.0, 25.0), room=0.35, telephone=0.4, packets=0.15,
    speed=0.8, keep=(1.0, 1.0), clipping=0.05,
)  # fmt: skip
"""Everything is kept: a text is to be recognised whole."""

MOST_NOISES = 120
_TIMEOUT_S = 20


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tools.data.hypotheses", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of speech/, conversations/"
    )
    parser.add_argument("--set", dest="name", default="meld", help="folder in conversations/")
    parser.add_argument("--split", default="train", help="published part (default %(default)s)")
    parser.add_argument("--most", type=int, default=100_000, help="texts at most")
    parser.add_argument("--asr-model", default="tiny.en", help="name or folder of a Whisper model")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="of decoded clips")
    arguments = parser.parse_args()
    dialogues = in_split(
        read_dialogues(arguments.data / "conversations" / arguments.name), arguments.split
    )
    texts = [turn.text for dialogue in dialogues for turn in dialogue.turns if turn.text]
    order = np.random.default_rng(0).permutation(len(texts))[: arguments.most]
    settings = configuration.load(
        None, overrides={"asr.model": arguments.asr_model, "asr.language": "en"}
    )
    transcriber, _ = make_transcriber(settings.asr, 1)
    speaker = Speaker(_augmentation(arguments.data, arguments.cache))
    extend(arguments.out, [texts[i] for i in order], speaker, transcriber)


class Speaker:
    """Texts -> speech as it reaches a recogniser.

    Args:
        augmentation: What happens to the sound on its way.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        self._augmentation = augmentation

    def speak(self, text: str) -> tuple[str, Wave]:
        """Return the name of the voice, and samples [n]. Equal texts sound equal.

        Raises:
            UserError: No synthesizer is installed, or it fails.
        """
        key = zlib.crc32(text.encode())
        rng = np.random.default_rng(key)
        voice = str(rng.choice([*ESPEAK, *FLITE]))
        speed = int(rng.integers(135, 200))
        with tempfile.TemporaryDirectory() as folder:
            said, file = Path(folder) / "text.txt", Path(folder) / "speech.wav"
            said.write_text(text, encoding="utf-8")
            command = (
                ["flite", "-voice", voice, str(said), str(file)]
                if voice in FLITE
                else ["espeak-ng", "-v", voice, "-s", str(speed), "-f", str(said), "-w", str(file)]
            )
            _run(command)
            wave = decode(file)
        return voice, self._augmentation(wave, epoch=0, clip=key)


def extend(out: Path, texts: Sequence[str], speaker: Speaker, transcriber: Transcriber) -> None:
    """Speak and recognise the texts that the file lacks, in order."""
    done = len(out.read_text(encoding="utf-8").splitlines()) if out.is_file() else 0
    with out.open("a", encoding="utf-8") as file:
        for text in progress(texts[done:], "Speaking"):
            voice, wave = speaker.speak(text)
            transcript = transcriber.transcribe(wave, language="en")
            row = {"text": text, "voice": voice, "hypothesis": transcript.text}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()


def read_hypotheses(path: Path) -> dict[str, str]:
    """Text -> what the recogniser made of it; texts of which it made nothing are left out.

    Raises:
        UserError: The file cannot be read.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {row["text"]: row["hypothesis"] for row in rows if row["hypothesis"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a file of hypotheses ({error})") from error


def _augmentation(data: Path, cache: Path) -> Augmentation:
    clips = open_clips(data / "speech", cache)
    numbers = [i for i, c in enumerate(clips.clips) if c.corpus == NOISE and c.split == "train"]
    noises = [clips.wave(i) for i in numbers[:MOST_NOISES]]
    rooms = [synthetic_room(d, np.random.default_rng(n)) for n, d in enumerate((0.2, 0.4, 0.7))]
    return Augmentation(noises, rooms, CONDITIONS, seed=11)


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise UserError(f"{command[0]} is not installed") from error
    except subprocess.SubprocessError as error:
        raise UserError(f"{command[0]}: {error}") from error


if __name__ == "__main__":
    main()
