"""From settings to a segmenter with its voice detector."""

from functools import partial
from typing import TYPE_CHECKING

from streamer.errors import UserError
from streamer.registry import DETECTORS
from streamer.settings.tree import Segmentation, Speakers
from streamer.speech import VoiceDetector
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed

if TYPE_CHECKING:
    from streamer.speech.voice_change import VoiceTracker


def make_segmenter(
    settings: Segmentation, channel: int, voices: "VoiceTracker | None" = None
) -> Segmenter:
    """The segmenter of one channel, with a detector of its own.

    Args:
        settings: Of the detector, and of the cuts.
        channel: Index of the channel.
        voices: Tells the speakers of the channel apart; None: it has one.

    Raises:
        UserError: if the detector that the settings name, or the model of the ends of turns, is not installed.
    """
    detector = Smoothed(make_detector(settings))
    if settings.endpoint == "fixed":
        return Segmenter(detector, settings, channel, voices=voices)
    from streamer.speech.turn_end import SmartTurn

    return Segmenter(detector, settings, channel, SmartTurn(), voices)


def make_voices(settings: Speakers, channel: str) -> "VoiceTracker":
    """What tells the speakers of one channel apart.

    Raises:
        UserError: The speaker encoder is missing or damaged.
    """
    from streamer.speech.speakers import SpeakerClusters
    from streamer.speech.voice_change import VoiceTracker
    from streamer_models.bundle import BundleError
    from streamer_models.speaker_encoder import VoiceStream, load_speaker_encoder

    try:
        encoder = load_speaker_encoder()
    except BundleError as error:
        raise UserError(f"speakers: {error}; set speakers.channels to one") from None
    return VoiceTracker(partial(VoiceStream, encoder), SpeakerClusters(channel, settings.max))


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
