"""From settings to a segmenter; a new detector is a file beside this one and a case here."""

from typing import assert_never

from streamer.config import Segmentation
from streamer.segmentation import VoiceDetector
from streamer.segmentation.segmenter import Segmenter
from streamer.segmentation.smoothing import Smoothed


def make_segmenter(settings: Segmentation, channel: int) -> Segmenter:
    """The segmenter of one channel, with a detector of its own.

    Raises:
        UserError: if the detector that the settings name is not installed.
    """
    return Segmenter(Smoothed(make_detector(settings)), settings, channel)


def make_detector(settings: Segmentation) -> VoiceDetector:
    """The voice detector that the settings name; imports only what that one needs."""
    match settings.detector:
        case "both":
            from streamer.segmentation.both import GatedDetector

            return GatedDetector(settings.aggressiveness)
        case "silero":
            from streamer.segmentation.silero import SileroDetector

            return SileroDetector()
        case "webrtcvad":
            from streamer.segmentation.webrtc import WebrtcDetector

            return WebrtcDetector(settings.aggressiveness)
        case _:
            assert_never(settings.detector)
