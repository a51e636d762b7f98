"""Which transcribers there are, and the choice among them."""

from collections.abc import Callable

from streamer.audio import Samples
from streamer.errors import UserError
from streamer.settings.tree import Asr, Engine
from streamer.transcription import Transcriber, Transcript


class NoTranscriber:
    """Leaves every utterance without text."""

    name = "none"

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:  # noqa: ARG002 - the protocol's
        """See `Transcriber.transcribe`: always skipped."""
        return Transcript("", "skipped", language, reason="transcription is off")

    def close(self) -> None:
        """See `Transcriber.close`: there is nothing to do."""


def _whisper(asr: Asr, engine: Engine) -> Transcriber:
    from streamer.transcription.whisper import WhisperTranscriber

    return WhisperTranscriber(asr, engine)


def _none(_: Asr, __: Engine) -> Transcriber:
    return NoTranscriber()


BACKENDS: dict[str, Callable[[Asr, Engine], Transcriber]] = {
    "whisper": _whisper,
    "none": _none,
}
"""By name, best first: the order in which `auto` tries them."""


def make_transcriber(asr: Asr, engine: Engine) -> tuple[Transcriber, str]:
    """The transcriber that the settings ask for, loaded; to be used by one thread at a time.

    Returns:
        The transcriber, and one line for the user where `auto` had to settle for less ("" otherwise).

    Raises:
        UserError: if the backend asked for by name cannot be had.
    """
    if asr.backend != "auto":
        return BACKENDS[asr.backend](asr, engine), ""
    reasons: list[str] = []
    for make in BACKENDS.values():
        try:
            transcriber = make(asr, engine)
        except UserError as error:
            reasons.append(str(error))
            continue
        return transcriber, _notice(transcriber, reasons)
    raise AssertionError("the last backend always works")


def _notice(transcriber: Transcriber, reasons: list[str]) -> str:
    if not reasons:
        return ""
    what = "no transcript, labels come from audio alone"
    if transcriber.name != NoTranscriber.name:
        what = f"transcribing with {transcriber.name}"
    return f"{what}: {'; '.join(reasons)}"
