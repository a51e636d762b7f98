"""Transcribers, and the choice among them."""

from streamer.audio import Samples
from streamer.errors import UserError
from streamer.registry import TRANSCRIBERS, Health, Plugin
from streamer.settings.tree import Asr, Settings
from streamer.transcription import NO_TRANSCRIBER, Transcriber, Transcript


class NoTranscriber:
    """Leaves every utterance without text."""

    name = NO_TRANSCRIBER

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:  # noqa: ARG002 - the protocol's
        """See `Transcriber.transcribe`: always skipped."""
        return Transcript("", "skipped", language, reason="transcription is off")

    def close(self) -> None:
        """See `Transcriber.close`: there is nothing to do."""


def _whisper(asr: Asr, cores: int) -> Transcriber:
    from streamer.transcription.whisper import WhisperTranscriber

    return WhisperTranscriber(asr, cores)


def _check_whisper(settings: Settings) -> Health:
    from streamer.transcription import whisper_models

    asr = settings.asr
    try:
        found = whisper_models.find(asr.model, language=asr.spoken)
    except UserError as error:
        return Health("limited", str(error), "set asr.model")
    if found is None:
        name = whisper_models.wanted(asr.model, language=asr.spoken)
        detail = f"whisper model {name} is not on this machine: labels come from audio alone"
        return Health("limited", detail, whisper_models.advice(name))
    detail = f"whisper {found.name} ({found.megabytes():.0f} MB, from the {found.origin})"
    better = "base makes fewer mistakes at twice the work: streamer models list"
    return Health("ok", detail, better if found.name.startswith("tiny") else "")


WHISPER = Plugin(_whisper, check=_check_whisper)
NONE = Plugin(
    lambda asr, cores: NoTranscriber(),  # noqa: ARG005 - the arguments of every transcriber
    check=lambda settings: Health("ok", "off (asr.backend: none)"),  # noqa: ARG005
)


def make_transcriber(asr: Asr, cores: int) -> tuple[Transcriber, str]:
    """Load the transcriber that the settings ask for; to be used by one thread at a time.

    Returns:
        The transcriber, and one line for the user where `auto` had to settle for less ("" otherwise).

    Raises:
        UserError: if the backend asked for by name cannot be had.
    """
    if asr.backend != "auto":
        return _make(asr.backend, asr, cores), ""
    reasons: list[str] = []
    for name in TRANSCRIBERS.own:
        try:
            transcriber = _make(name, asr, cores)
        except UserError as error:
            reasons.append(str(error))
            continue
        return transcriber, _notice(transcriber, reasons)
    raise AssertionError("the last backend always works")


def _make(name: str, asr: Asr, cores: int) -> Transcriber:
    plugin: Plugin = TRANSCRIBERS.find(name)
    transcriber: Transcriber = plugin.make(asr, cores)
    return transcriber


def _notice(transcriber: Transcriber, reasons: list[str]) -> str:
    if not reasons:
        return ""
    what = "no transcript, labels come from audio alone"
    if transcriber.name != NoTranscriber.name:
        what = f"transcribing with {transcriber.name}"
    return f"{what}: {'; '.join(reasons)}"
