"""Checks of audio before transcription and of text after it, for every transcriber."""

from collections.abc import Sequence

import numpy as np

from streamer.audio import SAMPLE_RATE, Samples
from streamer.transcription import Transcript

MIN_SAMPLES = SAMPLE_RATE // 10
"""Anything shorter holds no word."""
MIN_PEAK = 1e-4
"""-80 dBFS: anything below is silence, of which recognisers like to make a "yeah"."""

LOOP_TIMES = 3
LOOP_WORDS = 10
"""A phrase said three times running or more is a loop once that makes ten words: people do say
"no no no no", and "I don't know, I don't know"; recognisers that are stuck go on."""

FREE_WORDS = 3
"""Words that any utterance may have, however short: its ends may be cut close."""


def refused(samples: Samples, language: str | None) -> Transcript | None:
    """Reject audio that is too short, silent or not finite before it is transcribed."""
    if len(samples) < MIN_SAMPLES:
        return Transcript("", "rejected", language, reason="too short to hold a word")
    if not np.isfinite(samples).all():
        return Transcript("", "failed", language, reason="samples that are not numbers")
    if np.abs(samples).max() < MIN_PEAK:
        return Transcript("", "rejected", language, reason="silence")
    return None


def invented(words: Sequence[str], seconds: float, max_words_per_second: float) -> str:
    """Return why the words of an utterance look invented, or "" if they do not.

    Args:
        words: the words in order, any case.
        seconds: how long the utterance is.
        max_words_per_second: what a person can say.

    Returns:
        The reason, which never holds the words themselves.
    """
    if len(words) > FREE_WORDS + max_words_per_second * seconds:
        return f"{len(words)} words in {seconds:.1f} s"
    phrase = _loop([word.casefold().strip(".,!?;:-\"'") for word in words])
    if phrase:
        return f"a phrase of {phrase} words in a loop"
    return ""


def _loop(words: Sequence[str]) -> int:
    """Return the length of the first phrase that is repeated like a loop, or 0."""
    for length in range(1, len(words) // LOOP_TIMES + 1):
        needed = max(LOOP_TIMES * length, LOOP_WORDS) - length
        run = 0
        for index in range(length, len(words)):
            run = run + 1 if words[index] == words[index - length] else 0
            if run >= needed:
                return length
    return 0
