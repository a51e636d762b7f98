"""pocketsphinx with the English model that comes inside its package: no download, more mistakes."""

import json
import struct
import subprocess
import sys
import weakref
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import IO, Any, cast

import numpy as np

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.settings.tree import Asr
from streamer.sources import Samples
from streamer.transcription import Transcript, Word
from streamer.transcription.gates import invented, refused

LANGUAGE = "en"
MAX_WORD_SECONDS = 0.7
"""Mean length of a word over which it is no speech: noise becomes a drawn-out "and" or "what", often with
confidence. On clips that had no part in the choice, this and `asr.min_confidence` reject 54 of 62 of noise and 7 of
29 acted sentences."""
WORKER = Path(__file__).with_name("sphinx_worker.py")


class SphinxTranscriber:
    """Runs pocketsphinx in a process of its own, started with the first utterance."""

    name = "pocketsphinx en-us"

    def __init__(self, asr: Asr) -> None:
        """Check that the recogniser can be used at all.

        Raises:
            UserError: if the package is missing or another language is to be transcribed.
        """
        if asr.language != LANGUAGE:
            raise UserError("pocketsphinx knows English only: set asr.language to en")
        if find_spec("pocketsphinx") is None:
            raise UserError("pocketsphinx is not installed: pip install pocketsphinx")
        self._asr = asr
        self._closed = False
        self._start()  # the model loads while the caller does other things

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Transcriber.transcribe`; a language other than English is skipped."""
        if language not in (LANGUAGE, None):
            return Transcript("", "skipped", language, reason="pocketsphinx knows English only")
        if refusal := refused(samples, LANGUAGE):
            return refusal
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        try:
            answer = self._ask(pcm)
        except (OSError, ValueError):
            if not self._closed:
                self._end_worker()
                self._start()
            return Transcript(
                "", "failed", LANGUAGE, reason="the process of pocketsphinx broke off"
            )
        return self._judge(answer, len(samples) / SAMPLE_RATE)

    def close(self) -> None:
        """See `Transcriber.close`: the process ends at once."""
        self._closed = True
        self._worker.kill()

    def _judge(self, answer: dict[str, Any], seconds: float) -> Transcript:
        words = tuple(
            Word(_plain(text), min(start, seconds), min(end, seconds), probability)
            for text, start, end, probability in answer["words"]
            if _is_word(text)
        )
        if not words:
            return Transcript("", "rejected", LANGUAGE, reason="no word heard")
        texts = [word.text for word in words]
        reason = self._doubt(words) or invented(texts, seconds, self._asr.max_words_per_second)
        confidence = geometric_mean([word.probability for word in words])
        if reason:
            return Transcript("", "rejected", LANGUAGE, confidence, reason=reason)
        return Transcript(" ".join(word.text for word in words), "ok", LANGUAGE, confidence, words)

    def _doubt(self, words: Sequence[Word]) -> str:
        """What in the recogniser's own account speaks against the words, or ""."""
        probability = fmean(word.probability for word in words)
        if probability < self._asr.min_confidence:
            return f"mean probability of a word {probability:.2f}"
        length = fmean(word.end - word.start for word in words)
        if length > MAX_WORD_SECONDS:
            return f"words of {length:.1f} s"
        return ""

    def _ask(self, pcm: bytes) -> dict[str, Any]:
        self._requests.write(struct.pack("<I", len(pcm)) + pcm)
        self._requests.flush()
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer

    def _start(self) -> None:
        # -P: a file json.py in the user's directory must not stand for the library's.
        self._worker = subprocess.Popen(  # noqa: S603 - our own script, by our own interpreter
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._requests = cast("IO[bytes]", self._worker.stdin)
        self._answers = cast("IO[bytes]", self._worker.stdout)
        self._end_worker = weakref.finalize(self, _end, self._worker)


def _end(worker: subprocess.Popen[bytes]) -> None:
    worker.kill()
    worker.communicate()


def _is_word(text: str) -> bool:
    """Whether an entry of the dictionary is a word, not silence (`<sil>`) or noise (`[NOISE]`, `++UM++`)."""
    return text[0] not in "<[+"


def _plain(text: str) -> str:
    """The word without the number of its pronunciation: `read(2)` is `read`."""
    return text.partition("(")[0]
