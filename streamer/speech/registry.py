"""From settings to a segmenter; a new detector is a file beside this one and a case here."""

from typing import assert_never

from streamer.settings.tree import Segmentation
from streamer.speech import VoiceDetector
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed


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
            from streamer.speech.detectors.gated import GatedDetector

            return GatedDetector(settings.aggressiveness)
        case "silero":
            from streamer.speech.detectors.silero import SileroDetector

            return SileroDetector()
        case "webrtcvad":
            from streamer.speech.detectors.webrtc import WebrtcDetector

            return WebrtcDetector(settings.aggressiveness)
        case _:
            assert_never(settings.detector)
