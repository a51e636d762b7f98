"""RealtimeSTT on audio from standard input, for `tools.benchmark realtimestt`; run by the Python that has it.

Needs nothing of this repository. Prints one JSON line when it is ready, and one for each text that is final. Exits
without its own shutdown, which can hang.
"""

import json
import os
import sys
import threading
from importlib import import_module
from typing import Any

_BLOCK = 960
"""Bytes of 30 ms."""


def main(model: str, silence: str) -> None:
    """Transcribe what comes on standard input: s16le, mono, 16 kHz.

    Args:
        model: folder of a faster-whisper model.
        silence: seconds of silence that end an utterance.
    """
    recorder = import_module("RealtimeSTT").AudioToTextRecorder(
        model=model,
        language="en",
        device="cpu",
        compute_type="int8",
        beam_size=1,
        use_microphone=False,
        spinner=False,
        no_log_file=True,
        level=40,
        post_speech_silence_duration=float(silence),
    )
    threading.Thread(target=_print_finals, args=(recorder,), daemon=True).start()
    _say({"ready": True})
    while block := sys.stdin.buffer.read(_BLOCK):
        recorder.feed_audio(block)
    sys.stdout.flush()
    os._exit(0)


def _print_finals(recorder: Any) -> None:
    while True:
        _say({"text": recorder.text()})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
