"""The call inside its report: Opus as a data URI."""

import base64
import io
from pathlib import Path

from streamer.errors import UserError
from streamer.media import open_media

_BIT_RATE = 24_000
"""Of each channel: 11 MB for an hour."""
_RATE = 16_000


def embedded(path: Path) -> str:
    """Encode a recording with Opus and return it as a data URI.

    Raises:
        UserError: if it cannot be read or decoded, or PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError("--audio needs PyAV, which comes with the extra 'analyze'") from None
    encoded = io.BytesIO()
    try:
        with open_media(path) as source, av.open(encoded, "w", format="ogg") as target:
            if not source.streams.audio:
                raise UserError(f"{path}: has no audio")
            channels = min(2, source.streams.audio[0].codec_context.channels)
            layout = "stereo" if channels == 2 else "mono"
            stream = target.add_stream("libopus", rate=_RATE, layout=layout)
            stream.bit_rate = _BIT_RATE * channels
            resampler = av.AudioResampler(format="s16", layout=layout, rate=_RATE)
            for frame in source.decode(audio=0):
                for part in resampler.resample(frame):
                    target.mux(stream.encode(part))
            for part in resampler.resample(None):
                target.mux(stream.encode(part))
            target.mux(stream.encode(None))
    except (OSError, av.FFmpegError) as error:
        raise UserError(f"{path}: {(error.strerror or 'no audio').lower()}") from None
    return f"data:audio/ogg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
