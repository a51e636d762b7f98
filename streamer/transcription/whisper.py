"""Whisper on CTranslate2: from an utterance's samples to its words."""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from streamer.audio import SAMPLE_RATE, Samples
from streamer.settings.tree import Asr
from streamer.transcription import Transcript, Word
from streamer.transcription.gates import invented, refused
from streamer.transcription.whisper_loading import load
from streamer.transcription.whisper_network import WINDOW, Context, Hypothesis
from streamer_models.encoders.log_mel import HOP, log_mel

LONGEST = (WINDOW - 200) * HOP
"""Samples (28 s) heard at once; of longer audio, one part after the other."""
_SEARCH = 5 * SAMPLE_RATE
"""Samples before the longest in which the quietest place to cut is looked for."""
_STEP = SAMPLE_RATE // 10

TOKENS_PER_SECOND = 20
FREE_TOKENS = 10
MAX_TOKENS = 220
"""Bounds of a transcript: a loop ends soon; Whisper's decoder has 448 places, half of them for text."""

NO_SPEECH = 0.6
"""Probability of no speech over which text is rejected."""
MIN_LOG_PROBABILITY = -1.0
"""Mean log probability of its tokens under which text is rejected."""
MAX_COMPRESSION = 2.4
"""Compression ratio over which text counts as repetition and is rejected."""
MAX_WORDS_PER_SECOND = 8.0
"""Rate over which text is rejected."""

SILENCE = 500
"""States of silence (10 s) that the first reading is shown: with 4 s, one text in six is said twice."""
SILENT = 0.7
"""Probability of no speech over which there is no other reading."""
SURE = -0.6
"""Mean log probability of a text's tokens from which no second reading is made."""
WIDE = 1000
"""Columns (10 s) that the second reading encodes at least: as good as a window, at a third of its cost."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A text that was made of an utterance, and what speaks against it."""

    context: Context
    tokens: list[int]
    text: str
    log_probability: float
    reason: str
    """Why it is to be rejected, or ""."""
    silent: bool
    """Whether nothing seems to be said at all."""

    @property
    def sure(self) -> bool:
        return not self.reason and self.log_probability >= SURE

    @property
    def rank(self) -> tuple[bool, float]:
        return not self.reason, self.log_probability


def _never() -> bool:
    return False


class WhisperTranscriber:
    """One Whisper model, kept in memory; one thread uses it at a time."""

    def __init__(self, asr: Asr, cores: int) -> None:
        """Find and load the model.

        Raises:
            UserError: if it cannot be had or loaded, or does not know the language.
        """
        self._asr = asr
        self._name, self._network, self._tokens = load(asr, cores)

    @property
    def name(self) -> str:
        """See `Transcriber.name`."""
        return self._name

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Transcriber.transcribe`."""
        return self._transcribe(samples, language, self._recognise)

    def transcribe_steered(
        self,
        samples: Samples,
        *,
        language: str | None,
        thorough: bool,
        unwanted: Callable[[], bool],
    ) -> Transcript:
        """See `Steerable.transcribe_steered`: thorough are two readings, however sure the first is."""
        recognise = partial(self._recognise, thorough=thorough, unwanted=unwanted)
        return self._transcribe(samples, language, recognise)

    def draft(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Drafting.draft`: one reading, whatever it is worth."""
        return self._transcribe(samples, language, self._recognise_once)

    def close(self) -> None:
        """See `Transcriber.close`: decoding cannot be broken off, but it is bounded."""

    def _transcribe(
        self,
        samples: Samples,
        language: str | None,
        recognise: Callable[[Samples, str | None], Transcript],
    ) -> Transcript:
        if language and language not in self._tokens.languages:
            return Transcript("", "skipped", language, reason="a language the model does not know")
        if refusal := refused(samples, language):
            return refusal
        try:
            return _joined([_moved(recognise(part, language), at) for part, at in _parts(samples)])
        except Exception as error:  # noqa: BLE001 - what the library may raise is not written down
            return Transcript("", "failed", language, reason=f"whisper: {type(error).__name__}")

    def _recognise_once(self, samples: Samples, language: str | None) -> Transcript:
        """Recognise audio of one window by the first reading alone, without the times of words."""
        network = self._network
        seconds = len(samples) / SAMPLE_RATE
        context = network.context(network.encode(log_mel(samples, network.bands)), SILENCE)
        language = language or self._language(context)
        return self._transcript(self._read(context, language, seconds), language)

    def _recognise(
        self,
        samples: Samples,
        language: str | None,
        *,
        thorough: bool = False,
        unwanted: Callable[[], bool] = _never,
    ) -> Transcript:
        """Recognise audio of one window.

        It is read with little silence, and if that is not sure, or if asked to, with more: the likelier text counts.
        Where the first reading finds no speech, there is no other: more readings of noise only invent more.
        """
        network = self._network
        features = log_mel(samples, network.bands)
        seconds = len(samples) / SAMPLE_RATE
        encoding = network.encode(features)
        if unwanted():
            return Transcript("", "skipped", language, reason="not wanted any more")
        context = network.context(encoding, SILENCE)
        language = language or self._language(context)
        reading = self._read(context, language, seconds)
        if not unwanted() and not reading.silent and (thorough or not reading.sure):
            wide = network.context(network.encode(features, WINDOW if thorough else WIDE))
            again = self._read(wide, language, seconds)
            reading = max(reading, again, key=lambda one: one.rank)
        transcript = self._transcript(reading, language)
        if self._asr.words and transcript.status == "ok":
            return replace(transcript, words=self._words(reading, language, seconds))
        return transcript

    def _read(self, context: Context, language: str, seconds: float) -> _Reading:
        hypothesis = self._network.decode(
            context,
            self._tokens.prompt(language, self._asr.terms),
            beams=self._asr.beam_size,
            most=min(MAX_TOKENS, FREE_TOKENS + math.ceil(TOKENS_PER_SECOND * seconds)),
        )
        tokens = self._tokens.spoken(hypothesis.tokens)
        text = " ".join(self._tokens.text(tokens).split())
        reason = self._doubt(hypothesis, text, seconds) if text else "no word heard"
        silent = not text or hypothesis.no_speech > SILENT
        return _Reading(context, tokens, text, hypothesis.log_probability, reason, silent)

    def _transcript(self, reading: _Reading, language: str) -> Transcript:
        if not reading.text:
            return Transcript("", "rejected", language, reason=reading.reason)
        confidence = math.exp(min(0.0, reading.log_probability))
        if reading.reason:
            return Transcript("", "rejected", language, confidence, reason=reading.reason)
        return Transcript(reading.text, "ok", language, confidence)

    def _language(self, context: Context) -> str:
        if not self._network.multilingual:
            return "en"
        return self._network.language(context)

    def _doubt(self, hypothesis: Hypothesis, text: str, seconds: float) -> str:
        """Which measure speaks against a text, or ""."""
        if hypothesis.no_speech > NO_SPEECH:
            return f"no speech with probability {hypothesis.no_speech:.2f}"
        if hypothesis.log_probability < MIN_LOG_PROBABILITY:
            return f"average log probability {hypothesis.log_probability:.2f}"
        content = text.encode()
        if (ratio := len(content) / len(zlib.compress(content))) > MAX_COMPRESSION:
            return f"compression ratio {ratio:.1f}"
        return invented(text.split(), seconds, MAX_WORDS_PER_SECOND)

    def _words(self, reading: _Reading, language: str, seconds: float) -> tuple[Word, ...]:
        """Return when each word is said, and with what probability."""
        times, probabilities = self._network.align(
            reading.context, self._tokens.start(language), reading.tokens
        )
        words: list[Word] = []
        first = 0
        for text, count in self._tokens.words(reading.tokens, language):
            start, end = (min(float(times[at]), seconds) for at in (first, first + count))
            probability = float(np.mean(probabilities[first : first + count]))
            words.append(Word(text, round(start, 2), round(end, 2), probability))
            first += count
        return tuple(words)


def _parts(samples: Samples) -> Iterator[tuple[Samples, int]]:
    """Return the audio in parts that fit into a window, cut where it is quiet, and where each begins."""
    begin = 0
    while len(samples) > LONGEST:
        searched = samples[LONGEST - _SEARCH : LONGEST].reshape(-1, _STEP)
        quietest = int(np.argmin(np.square(searched, dtype=np.float64).sum(axis=1)))
        cut = LONGEST - _SEARCH + quietest * _STEP + _STEP // 2
        yield samples[:cut], begin
        begin += cut
        samples = samples[cut:]
    yield samples, begin


def _moved(transcript: Transcript, at: int) -> Transcript:
    """Return the transcript of a part that begins at a sample of the utterance."""
    later = at / SAMPLE_RATE
    words = tuple(
        replace(word, start=word.start + later, end=word.end + later) for word in transcript.words
    )
    return replace(transcript, words=words)


def _joined(transcripts: list[Transcript]) -> Transcript:
    """Return the transcripts of an utterance's parts as one: what was understood of it."""
    understood = [transcript for transcript in transcripts if transcript.status == "ok"]
    if len(transcripts) == 1 or not understood:
        return transcripts[0]
    confidences = [transcript.confidence or 0.0 for transcript in understood]
    return Transcript(
        " ".join(transcript.text for transcript in understood),
        "ok",
        understood[0].language,
        float(np.mean(confidences)),
        tuple(word for transcript in understood for word in transcript.words),
    )
