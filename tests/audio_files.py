"""Recordings made by the tests, in the formats that users have."""

from fractions import Fraction

import av
import numpy as np

CODECS = {
    "wav8": ("wav", "pcm_u8"),
    "wav16": ("wav", "pcm_s16le"),
    "wav24": ("wav", "pcm_s24le"),
    "wav32": ("wav", "pcm_s32le"),
    "float": ("wav", "pcm_f32le"),
    "alaw": ("wav", "pcm_alaw"),
    "mulaw": ("wav", "pcm_mulaw"),
    "mp3": ("mp3", "libmp3lame"),
    "flac": ("flac", "flac"),
    "opus": ("ogg", "libopus"),
    "m4a": ("mp4", "aac"),
}
"""Name -> container and codec."""

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def write_audio(path, signal, rate, name="wav16"):
    """Write float [n] or [n, channels] in a format of `CODECS`."""
    signal = np.atleast_2d(np.asarray(signal, np.float32).T).T
    container_format, codec = CODECS[name]
    layout = _LAYOUTS[signal.shape[1]]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout=layout, rate=rate, frame_size=0
        )
        for offset in range(0, len(signal), 960):
            piece = np.ascontiguousarray(signal[offset : offset + 960].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(piece, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, offset, Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def tone(frequency, seconds, rate=16_000, level=0.5):
    """A sine."""
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def dominant_frequency(samples, rate=16_000):
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))
