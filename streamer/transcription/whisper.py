"""faster-whisper: Whisper on CTranslate2."""

import logging
import math
import os
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.settings.tree import Asr, Engine
from streamer.sources import Samples
from streamer.transcription import Transcript
from streamer.transcription.gates import invented, refused
from streamer.transcription.whisper_models import ModelFiles, obtain

log = logging.getLogger(__name__)

WINDOW = 30 * SAMPLE_RATE
"""What Whisper hears at once; only longer audio needs its timestamps, to go from window to window."""
TOKENS_PER_SECOND = 60
FREE_TOKENS = 20
MAX_TOKENS = 440
"""Bounds of a transcript, of which the library decodes half: Whisper's decoder has 448 places, and a
loop in short audio ends long before, since no script needs 30 tokens for a second of speech."""


class WhisperTranscriber:
    """One Whisper model, kept in memory; one thread uses it at a time."""

    def __init__(self, asr: Asr, engine: Engine) -> None:
        """Find and load the model.

        Raises:
            UserError: if it cannot be had or loaded, or does not know the language.
        """
        if asr.model.endswith(".en"):
            _require_english(asr)
        files = obtain(asr.model, language=asr.language, offline=asr.offline)
        self._model, compute_type = _load(asr, engine, files)
        self._languages = frozenset(self._model.supported_languages)
        if self._languages == {"en"}:
            _require_english(asr)
        elif asr.language and asr.language not in self._languages:
            raise UserError(f"asr.language {asr.language}: whisper does not know it")
        self._asr = asr
        self._name = f"faster-whisper {files.name} {compute_type}"

    @property
    def name(self) -> str:
        """See `Transcriber.name`."""
        return self._name

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Transcriber.transcribe`."""
        if language and language not in self._languages:
            return Transcript("", "skipped", language, reason="a language the model does not know")
        if refusal := refused(samples, language):
            return refusal
        try:
            segments, info = self._decode(samples, language)
        except Exception as error:  # noqa: BLE001 - what the library may raise is not written down
            return Transcript("", "failed", language, reason=f"whisper: {type(error).__name__}")
        return self._judge(segments, info.language, len(samples) / SAMPLE_RATE)

    def close(self) -> None:
        """See `Transcriber.close`: decoding cannot be broken off, but it is bounded."""

    def _decode(self, samples: Samples, language: str | None) -> tuple[list[Any], Any]:
        padding = round(self._asr.tail_padding * SAMPLE_RATE)
        audio = np.concatenate([samples, np.zeros(padding, np.float32)])
        tokens = FREE_TOKENS + math.ceil(TOKENS_PER_SECOND * len(samples) / SAMPLE_RATE)
        segments, info = self._model.transcribe(
            audio,
            language=language,
            beam_size=self._asr.beam_size,
            temperature=0.0,  # no second try: the time is bounded and the text always the same
            condition_on_previous_text=False,
            without_timestamps=len(audio) <= WINDOW,
            vad_filter=False,
            max_new_tokens=min(tokens, MAX_TOKENS),
            # Our gates judge, and they say why.
            no_speech_threshold=None,
            log_prob_threshold=None,
            compression_ratio_threshold=None,
        )
        return list(segments), info

    def _judge(self, segments: list[Any], language: str, seconds: float) -> Transcript:
        text = " ".join("".join(segment.text for segment in segments).split())
        if not text:
            return Transcript("", "rejected", language, reason="no word heard")
        confidence = math.exp(
            min(0.0, float(np.mean([segment.avg_logprob for segment in segments])))
        )
        reason = next(filter(None, map(self._doubt, segments)), "") or invented(
            text.split(), seconds, self._asr.max_words_per_second
        )
        if reason:
            return Transcript("", "rejected", language, confidence, reason=reason)
        return Transcript(text, "ok", language, confidence)

    def _doubt(self, segment: Any) -> str:
        """Which of the measures that Whisper gives speaks against a segment, or ""."""
        if segment.no_speech_prob > self._asr.no_speech:
            return f"no speech with probability {segment.no_speech_prob:.2f}"
        if segment.avg_logprob < self._asr.min_log_probability:
            return f"average log probability {segment.avg_logprob:.2f}"
        if segment.compression_ratio > self._asr.max_compression:
            return f"compression ratio {segment.compression_ratio:.1f}"
        return ""


def _require_english(asr: Asr) -> None:
    if asr.language not in ("en", None):
        raise UserError(
            f"whisper model {asr.model} knows English only: set asr.language to en, "
            "or asr.model to a model without .en"
        )


def _load(asr: Asr, engine: Engine, files: ModelFiles) -> tuple[Any, str]:
    """The model and its arithmetic, on the device that the settings name or that works."""
    from ctranslate2 import get_cuda_device_count

    if engine.device != "cpu" and get_cuda_device_count():
        try:
            return _load_on("cuda", asr, engine, files)
        except UserError as error:
            if engine.device == "cuda":
                raise
            log.warning("%s; the CPU stands in for the GPU", error)
    elif engine.device == "cuda":
        raise UserError("engine.device cuda: CTranslate2 finds no GPU; set engine.device to auto")
    return _load_on("cpu", asr, engine, files)


def _load_on(device: str, asr: Asr, engine: Engine, files: ModelFiles) -> tuple[Any, str]:
    from faster_whisper import WhisperModel

    compute_type = asr.compute_type
    if compute_type == "auto":
        compute_type = "float16" if device == "cuda" else "int8"
    contents = files.read()
    try:
        model = WhisperModel(
            str(files.directory),
            device=device,
            compute_type=compute_type,
            cpu_threads=_threads(asr, engine),
            local_files_only=True,
            files=contents,
        )
        if device == "cuda":  # the libraries that it needs are looked for with the first work
            model.encode(np.zeros((model.model.n_mels, 3000), np.float32))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"whisper model {files.name}: cannot be loaded: {reason}") from error
    return model, compute_type


def _threads(asr: Asr, engine: Engine) -> int:
    """Threads of this model: hearing needs the other cores, and more than 4 are hardly faster."""
    return asr.threads or max(1, min(4, (os.cpu_count() or 1) // (2 * engine.transcribers)))
