"""faster-whisper: Whisper on CTranslate2."""

from streamer.config import Asr, Engine
from streamer.errors import UserError
from streamer.sources import Samples
from streamer.transcription import Transcript


class WhisperTranscriber:
    """One Whisper model."""

    name = "faster-whisper"

    def __init__(self, asr: Asr, engine: Engine) -> None:
        """Load the model.

        Raises:
            UserError: if there is none.
        """
        raise UserError(f"whisper model {asr.model}: not there")

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Transcriber.transcribe`."""
        raise NotImplementedError
