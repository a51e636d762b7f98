"""`python -m tools.evaluate transcription`: recordings cut and transcribed as the program does it, against texts.

Each FILE.ogg stands beside FILE.txt; a line of it may begin with `speaker:`. Several channels are heard as one. Case
and punctuation do not count, hyphens divide words, and what the program rejects is missing text: deletions.
"""

import argparse
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.audio import SAMPLE_RATE, AudioChunk, Samples
from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings.tree import Settings
from streamer.speech import SpeechEnded
from streamer.speech.registry import make_segmenter
from streamer.transcription import Transcriber, Transcript
from streamer.transcription.registry import make_transcriber
from tools.command_line import add_set, overrides_of
from tools.data.decoding import decode
from tools.evaluate.metrics import resampled, share
from tools.evaluate.output import write_json
from tools.printing import print_rows
from tools.progress import progress

SPEAKER = re.compile(r"^\s*\w+:\s", re.MULTILINE)
CURLED = "\u2019"
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one recording."""

    words: int
    """Words of the reference."""
    errors: int
    """Words substituted, deleted and inserted: the edit distance."""
    utterances: int
    rejected: int
    """Utterances whose text was thought invented."""
    seconds: float
    """Length of the recording."""
    busy: float
    """Seconds that the transcriber took."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of recordings, each FILE.ogg with FILE.txt"
    )
    parser.add_argument("--config", type=Path, help="settings of the program (YAML)")
    parser.add_argument(
        "--asr",
        choices=("auto", "whisper", "none"),
        help="what transcribes; default: as in the settings",
    )
    add_set(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    overrides = overrides_of(arguments)
    if arguments.asr:
        overrides["asr.backend"] = arguments.asr
    settings = configuration.load(arguments.config, overrides=overrides)
    recordings = find_recordings(arguments.data)
    transcriber, notice = make_transcriber(settings.asr, settings.usable_cores)
    if notice:
        print(notice)
    heard = {
        file.name: hear(decode(file), words, transcriber, settings)
        for file, words in progress(recordings, "Transcribing")
    }
    result = {"asr": transcriber.name, **report(list(heard.values()))}
    result["groups"] = {"file": {name: report([one]) for name, one in heard.items()}}
    _print_table(f"{transcriber.name}, {arguments.data}", result)
    write_json(arguments.json, result)


def find_recordings(folder: Path) -> list[tuple[Path, list[str]]]:
    """Return the recordings of a folder that have a text, and its words.

    Raises:
        UserError: There is none, or a text cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; give the one that holds FILE.ogg and FILE.txt")
    found = []
    for file in sorted(folder.glob("*.ogg")):
        text = file.with_suffix(".txt")
        if text.is_file():
            try:
                found.append((file, words_of(text.read_text(encoding="utf-8"))))
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{text}: cannot be read as text ({error})") from error
    if not found:
        raise UserError(f"{folder}: no FILE.ogg with a FILE.txt beside it")
    return found


def words_of(text: str) -> list[str]:
    """Return the words that count, in lower case, without who says them."""
    return WORD.findall(SPEAKER.sub("", text).replace(CURLED, "'").casefold())


def hear(
    samples: Samples, reference: Sequence[str], transcriber: Transcriber, settings: Settings
) -> Heard:
    """Cut a recording into utterances, transcribe each, and compare all their words with the reference.

    Args:
        samples: float32 [n], mono, 16 kHz.
        reference: The words that are said.
        transcriber: Called once for each utterance.
        settings: `segmentation` and `asr.language` are used.
    """
    utterances = _utterances(samples, settings)
    began = time.perf_counter()
    transcripts = [
        transcriber.transcribe(utterance, language=settings.asr.spoken) for utterance in utterances
    ]
    busy = time.perf_counter() - began
    return Heard(
        words=len(reference),
        errors=edit_distance(reference, _words(transcripts)),
        utterances=len(transcripts),
        rejected=sum(transcript.status == "rejected" for transcript in transcripts),
        seconds=len(samples) / SAMPLE_RATE,
        busy=busy,
    )


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the least number of substitutions, deletions and insertions between two texts (Levenshtein, 1966)."""
    row = list(range(len(hypothesis) + 1))
    for place, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(hypothesis, 1):
            substituted = diagonal + (word != other)
            diagonal = row[column]
            row[column] = min(substituted, diagonal + 1, row[column - 1] + 1)
    return row[-1]


def report(heard: Sequence[Heard]) -> dict[str, Any]:
    """Return the word error rate pooled over recordings, as it stands in JSON.

    Returns:
        `n` recordings, `words`, `errors`; `wer` as {"value", "low", "high"} with the 2.5th and 97.5th percentile of
        resamplings of recordings (None for a single one); `utterances`, the share `rejected` of them, and
        `real_time_factor`, the transcriber's seconds for each second of audio.
    """
    counts = [[one.errors for one in heard], [one.words for one in heard]]
    utterances = sum(one.utterances for one in heard)
    return {
        "n": len(heard),
        "words": sum(counts[1]),
        "errors": sum(counts[0]),
        "wer": resampled(counts, [str(place) for place in range(len(heard))], share),
        "utterances": utterances,
        "rejected": _ratio(sum(one.rejected for one in heard), utterances),
        "real_time_factor": _ratio(
            sum(one.busy for one in heard), sum(one.seconds for one in heard)
        ),
    }


def _utterances(samples: Samples, settings: Settings) -> list[Samples]:
    segmenter = make_segmenter(settings.segmentation, 0)
    events = [*segmenter.push(AudioChunk(0, 0, samples)), *segmenter.flush()]
    return [event.samples for event in events if isinstance(event, SpeechEnded)]


def _words(transcripts: Iterable[Transcript]) -> list[str]:
    return words_of(" ".join(transcript.text for transcript in transcripts))


def _ratio(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole else None


def _print_table(title: str, result: Mapping[str, Any]) -> None:
    rows = []
    columns = ("n", "words", "errors", "wer", "utterances", "rejected", "real_time_factor")
    for name, part in (("all", result), *result["groups"]["file"].items()):
        wer = part["wer"]
        interval = f" [{wer['low']}-{wer['high']}]" if wer["low"] is not None else ""
        cells = {**part, "wer": f"{wer['value']}{interval}"}
        rows.append((name, *("-" if cells[c] is None else cells[c] for c in columns)))
    print_rows(title, ("part", *columns), rows)
