"""Our words beside those of RealtimeSTT: the same recording, in real time, through the same Whisper model.

RealtimeSTT is no dependency: `--python` names the Python of an environment that has it (`pip install RealtimeSTT`; of
what it asks for, PyAudio and torchaudio are not needed to feed audio). Both are given the recording through a pipe, one
after the other, 30 ms at a time, and 3 s of silence after it. Ours finds emotions, too.

A final text comes late by the time since the voice ended: for ours the end that the event tells; RealtimeSTT tells
none, so there it is the last end of voice with as much silence after it as the program waits for.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from streamer import events
from streamer.audio import SAMPLE_RATE, AudioChunk, Samples, to_pcm16
from streamer.errors import UserError
from streamer.settings.tree import Segmentation
from streamer.speech import SpeechEnded
from streamer.speech.registry import make_segmenter
from streamer.transcription import whisper_models
from tools.benchmark import realtimestt_peer
from tools.benchmark.measuring import conditions, write_json
from tools.command_line import add_set, overrides_of
from tools.data.decoding import decode
from tools.evaluate.transcription import edit_distance, words_of
from tools.printing import print_rows

_BLOCK = 480
_REST = 3 * SAMPLE_RATE
_READY = 300.0
"""Seconds that loading may take."""
_LATE = 10.0
"""Seconds by which the last text may come after the recording."""


@dataclass(frozen=True)
class Final:
    """A final text, and when it came, in seconds of the recording."""

    text: str
    at: float
    end: float | None = None
    """When the voice ended, if the program says so."""


@dataclass(frozen=True)
class Measured:
    """How one program did."""

    name: str
    wer: float
    words: int
    finals: int
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    """For each second of the recording, loading not counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recording", type=Path, help="FILE.ogg with its words in FILE.txt")
    parser.add_argument("--python", type=Path, required=True, help="the one that has RealtimeSTT")
    parser.add_argument(
        "--silence",
        type=float,
        nargs="+",
        default=[0.6, 0.2],
        help="seconds of silence that end an utterance of RealtimeSTT (default 0.6, its own, and 0.2)",
    )
    parser.add_argument("--model", default="tiny.en", help="Whisper model of both (tiny.en)")
    add_set(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure both and print."""
    samples = decode(arguments.recording)
    reference = words_of(arguments.recording.with_suffix(".txt").read_text(encoding="utf-8"))
    found = whisper_models.find(arguments.model, language="en")
    if found is None:
        raise UserError(f"whisper model {arguments.model} is not on this machine")
    chosen = {"asr.model": arguments.model} | overrides_of(arguments)
    options = [option for key, value in chosen.items() for option in ("--set", f"{key}={value}")]
    ours = [sys.executable, "-m", "streamer.cli", "listen", "-", "--jsonl", "-", *options]
    played = [_measure("streamer", ours, samples, reference, Segmentation().tail)]
    for silence in arguments.silence:
        peer = [str(arguments.python), realtimestt_peer.__file__, str(found.directory)]
        name = f"RealtimeSTT, {silence:g} s of silence"
        played.append(_measure(name, [*peer, str(silence)], samples, reference, silence))
    rows = []
    for one in played:
        figures = f"{one.p50_ms:.0f}", f"{one.p95_ms:.0f}", f"{one.cpu_ms:.0f}"
        rows.append((one.name, f"{one.wer:.3f}", one.words, one.finals, *figures))
    columns = ("", "WER", "words", "finals", "p50 ms", "p95 ms", "CPU ms / s")
    title = f"{arguments.recording.name}, {arguments.model}"
    print_rows(title, columns, rows, caption=conditions())
    write_json(arguments.json, "realtimestt", {"programs": played})


def _measure(
    name: str, command: Sequence[str], samples: Samples, reference: Sequence[str], silence: float
) -> Measured:
    """Play the recording to one program; `silence` is its tail if it tells ends, else what it waits for."""
    finals, cpu = _play(command, samples)
    late = latencies(finals, ends_of_voice(samples, silence), silence)
    if not late:
        raise UserError(f"{name}: no text came")
    said = words_of(" ".join(final.text for final in finals))
    return Measured(
        name,
        edit_distance(reference, said) / len(reference),
        len(reference),
        len(late),
        1000 * statistics.median(late),
        1000 * float(np.percentile(late, 95)),
        1000 * cpu * SAMPLE_RATE / len(samples),
    )


def ends_of_voice(samples: Samples, silence: float) -> list[float]:
    """Return where a voice ended and so much silence followed, in seconds."""
    rest = np.zeros(_REST, np.float32)
    settings = Segmentation(endpoint="fixed", end_silence=max(silence, 0.18))
    heard = make_segmenter(settings, 0).push(AudioChunk(0, 0, np.concatenate([samples, rest])))
    return [event.voice_end / SAMPLE_RATE for event in heard if isinstance(event, SpeechEnded)]


def latencies(finals: Sequence[Final], ends: Sequence[float], silence: float) -> list[float]:
    """Return by how many seconds each final text came after the end of its voice."""
    found = []
    for final in finals:
        end = final.end
        if end is None:
            place = bisect_right(ends, final.at - silence) - 1
            end = ends[place] if place >= 0 else None
        if end is not None:
            found.append(final.at - end)
    return found


def _play(command: Sequence[str], samples: Samples) -> tuple[list[Final], float]:
    """Give a program the recording in real time; return its texts, and its CPU seconds meanwhile."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as program:
        lines: list[tuple[float, bytes]] = []
        ready = threading.Event()

        def read() -> None:
            for line in program.stdout or ():
                lines.append((time.monotonic(), line))
                ready.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            if not ready.wait(_READY) or program.stdin is None:
                raise UserError(f"{command[0]}: not ready after {_READY:g} s")
            time.sleep(3)
            process = psutil.Process(program.pid)
            before, begun = _cpu(process), time.monotonic()
            pcm = to_pcm16(np.concatenate([samples, np.zeros(_REST, np.float32)])).tobytes()
            for start in range(0, len(pcm), 2 * _BLOCK):
                due = begun + (start / 2 + _BLOCK) / SAMPLE_RATE
                time.sleep(max(0.0, due - time.monotonic()))
                program.stdin.write(pcm[start : start + 2 * _BLOCK])
                program.stdin.flush()
            time.sleep(_LATE)
            cpu = _cpu(process) - before
            program.stdin.close()
            program.wait(30)
        finally:
            if program.poll() is None:
                for child in psutil.Process(program.pid).children(recursive=True):
                    child.kill()
                program.kill()
            reader.join()
    return [final for at, line in lines[1:] for final in _finals(line, at - begun)], cpu


def _finals(line: bytes, at: float) -> list[Final]:
    """Return the final text that a line tells, of either program."""
    message = json.loads(line)
    if "type" not in message:
        return [Final(message["text"], at)]
    event = events.parse(line)
    if not isinstance(event, events.Utterance):
        return []
    return [Final(event.text or "", at, event.end - Segmentation().tail)]


def _cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and its children so far."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
