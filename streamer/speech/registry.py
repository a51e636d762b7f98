"""From settings to a segmenter with its voice detector."""

from streamer.errors import UserError
from streamer.registry import DETECTORS
from streamer.settings.tree import Segmentation
from streamer.speech import VoiceDetector
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed


def make_segmenter(settings: Segmentation, channel: int) -> Segmenter:
    """The segmenter of one channel, with a detector of its own.

    Raises:
        UserError: if the detector that the settings name, or the model of the ends of turns, is not installed.
    """
    detector = Smoothed(make_detector(settings))
    if settings.endpoint == "fixed":
        return Segmenter(detector, settings, channel)
    from streamer.speech.turn_end import SmartTurn

    return Segmenter(detector, settings, channel, SmartTurn())


def make_detector(settings: Segmentation) -> VoiceDetector:
    """The voice detector that the settings name; imports only what that one needs.

    Raises:
        UserError: There is no such detector, or it does not take these options.
    """
    make = DETECTORS.find(settings.detector)
    try:
        detector: VoiceDetector = make(**settings.detector_options)
    except (TypeError, ValueError) as error:
        raise UserError(f"segmentation.detector_options: {settings.detector}: {error}") from None
    return detector
