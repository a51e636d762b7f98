"""From settings to a segmenter with its voice detector."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from streamer.errors import UserError
from streamer.registry import DETECTORS
from streamer.settings.tree import Segmentation, Sounds, Speakers
from streamer.speech import VoiceDetector
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed
from streamer.speech.sounds import SoundDetector

if TYPE_CHECKING:
    from streamer.speech.voice_change import VoiceTracker

_TOGETHER = 0.09
"""Seconds for which a turn that sounds complete is waited for longer where the voice tells quick turns apart."""


def make_segmenter(
    settings: Segmentation, channel: int, voices: "VoiceTracker | None" = None
) -> Segmenter:
    """Make the segmenter of one channel, with a detector of its own.

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

    if voices:
        wait = settings.complete_silence + _TOGETHER
        settings = settings.model_copy(update={"complete_silence": wait})
    return Segmenter(detector, settings, channel, SmartTurn(), voices)


def make_voices(settings: Speakers, channel: str) -> "VoiceTracker":
    """Make what tells the speakers of one channel apart.

    Raises:
        UserError: The speaker encoder, or the file of voice prints, is missing or damaged.
    """
    from streamer.speech import voice_prints
    from streamer.speech.speakers import SpeakerClusters
    from streamer.speech.voice_change import VoiceTracker
    from streamer_models.bundle import BundleError
    from streamer_models.speaker_encoder import VoiceStream, load_speaker_encoder

    try:
        encoder = load_speaker_encoder()
    except BundleError as error:
        raise UserError(f"speakers: {error}; set speakers.channels to one") from None
    enrolled = voice_prints.load() if settings.enrolled else {}
    speakers = SpeakerClusters(channel, settings.max, enrolled=enrolled)
    return VoiceTracker(partial(VoiceStream, encoder), speakers)


def sound_detectors(settings: Sounds) -> Callable[[int], SoundDetector | None]:
    """Return the maker of the detector of sounds of a channel, or None if none is asked for.

    Raises:
        UserError: Its weights are missing or damaged.
    """
    if not settings.detect:
        return lambda _: None
    from streamer_models.bundle import BundleError
    from streamer_models.fast.sound_network import load_sound_network

    try:
        network = load_sound_network()
    except BundleError as error:
        raise UserError(f"sounds.detect: {error}") from None
    return lambda channel: SoundDetector(network, channel)


def make_detector(settings: Segmentation) -> VoiceDetector:
    """Make the voice detector that the settings name; imports only what that one needs.

    Raises:
        UserError: There is no such detector, or it does not take these options.
    """
    make = DETECTORS.find(settings.detector)
    try:
        detector: VoiceDetector = make(**settings.detector_options)
    except (TypeError, ValueError) as error:
        raise UserError(f"segmentation.detector_options: {settings.detector}: {error}") from None
    return detector
