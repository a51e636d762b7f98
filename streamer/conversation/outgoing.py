"""Events of a conversation: the only place that builds its events and interprets the privacy modes."""

import logging
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from streamer import __version__, events
from streamer.audio import SAMPLE_RATE, Gap, to_seconds
from streamer.conversation.mood import MoodTracker
from streamer.conversation.overlap import Overlap
from streamer.conversation.statistics import Statistics
from streamer.errors import UserError
from streamer.settings import tree
from streamer.sinks.fanout import EventBus
from streamer.sources import SourceInfo
from streamer.speech import (
    SoundHeard,
    SpeakersMerged,
    SpeechEnded,
    SpeechStarted,
    SpeechUpdate,
)
from streamer.speech.acoustics import words_per_minute
from streamer.transcription import Transcript

if TYPE_CHECKING:
    from streamer_models.bundle import Bundle
    from streamer_models.classifier import Prediction

log = logging.getLogger(__name__)


class Privacy:
    """Privacy modes: channels that are analysed and reported, text that is reported.

    Args:
        settings: the mode of each channel: analyse, context (in the context of others, never reported) or exclude (not
            analysed); and whether transcripts are reported.
        source: the channels that there are.

    Raises:
        UserError: if a channel to protect is not among the source's; it would be analysed under another name.
    """

    def __init__(self, settings: tree.Privacy, source: SourceInfo) -> None:
        for name, mode in settings.channels.items():
            if mode != "analyse" and name not in source.channels:
                raise UserError(
                    f"{source.name}: privacy.channels says {name}: {mode}, but the channels are "
                    f"{', '.join(source.channels)}; name them with --channels"
                )
        self.text = settings.text
        self._modes = [settings.channels.get(name, "analyse") for name in source.channels]

    def analyses(self, channel: int) -> bool:
        """Return whether the audio of a channel is analysed at all."""
        return self._modes[channel] != "exclude"

    def reports(self, channel: int) -> bool:
        """Return whether events about a channel's speech leave the program."""
        return self._modes[channel] == "analyse"

    def reports_text(self, channel: int) -> bool:
        """Return whether what is said on a channel leaves the program."""
        return self.text and self.reports(channel)


class Outgoing:
    """The events of one conversation.

    Args:
        bus: numbers the events and brings them to the sinks.
        source: where the audio comes from.
        privacy: what must not leave.
        statistics: follows the events.
        mood_half_life: seconds after which an utterance counts half in a speaker's mood.
    """

    def __init__(
        self,
        bus: EventBus,
        source: SourceInfo,
        privacy: Privacy,
        statistics: Statistics,
        *,
        mood_half_life: float,
    ) -> None:
        self._bus = bus
        self._source = source
        self._channels = source.channels
        self._privacy = privacy
        self._statistics = statistics
        self._overlap = Overlap()
        self._moods: dict[str, MoodTracker] = defaultdict(partial(MoodTracker, mood_half_life))
        """By speaker."""
        self.utterances = 0
        self.gaps = 0

    def wants_updates(self, channel: int) -> bool:
        """Return whether predictions while somebody speaks are reported for a channel."""
        return self._privacy.reports(channel)

    def overlap(self, speech: SpeechStarted | SpeechEnded) -> float:
        """Follow who speaks, in the order of time; return the seconds of an utterance during which others spoke."""
        if not self._privacy.reports(speech.channel):
            return 0.0
        name = self._channels[speech.channel]
        if isinstance(speech, SpeechStarted):
            self._overlap.start(name, to_seconds(speech.start))
            return 0.0
        return self._overlap.end(name, to_seconds(speech.start), to_seconds(speech.end))

    async def session_started(self, bundle: "Bundle", asr: str) -> None:
        """Open the session."""
        await self._bus.emit(
            events.SessionStarted,
            source=self._source.name,
            channels=list(self._channels),
            model=events.Model(name=bundle.name, version=bundle.version),
            labels=list(bundle.labels),
            asr=asr,
            streamer_version=__version__,
            notes=list(self._source.notes),
        )
        for note in self._source.notes:
            log.warning("%s: %s", self._source.name, note)

    async def speech_started(self, speech: SpeechStarted) -> None:
        """Report that an utterance has begun."""
        if self._privacy.reports(speech.channel):
            about = self._about(speech.channel, speech.start, speech.at)
            await self._bus.emit(events.SpeechStarted, **about)

    async def speech_update(
        self, speech: SpeechUpdate | SpeechEnded, prediction: "Prediction", text: str = ""
    ) -> None:
        """Report the prediction from the audio so far; for an utterance that ended, from all of its audio.

        Args:
            speech: the utterance.
            prediction: of the model.
            text: its first words, as far as they are known.
        """
        if not self._privacy.reports(speech.channel):
            return
        end = speech.end if isinstance(speech, SpeechEnded) else speech.at
        await self._bus.emit(
            events.SpeechUpdate,
            **self._about(speech.channel, speech.start, end),
            probabilities=prediction.probabilities,
            text=text if text and self._privacy.text else None,
        )

    async def utterance(
        self,
        speech: SpeechEnded,
        turn: int,
        prediction: "Prediction | None",
        transcript: Transcript,
        latency: events.Latency,
        overlap: float,
    ) -> None:
        """Report an utterance, what it is if it is no speech, and the mood of its speaker.

        Args:
            speech: the utterance.
            turn: its number in the conversation.
            prediction: of the model; None if it could not be classified.
            transcript: its text, or why there is none.
            latency: where the time went.
            overlap: seconds of it during which others spoke.
        """
        if not self._privacy.reports(speech.channel):
            return
        self.utterances += 1
        if prediction and prediction.sound:
            span = speech.start, speech.end, speech.at
            await self.sound(SoundHeard(speech.channel, *span, *prediction.sound))
        about = self._about(speech.channel, speech.start, speech.end)
        await self._bus.emit(
            events.Utterance,
            **about,
            turn=turn,
            speaker=speech.speaker,
            **_emotion(prediction),
            **self._text(transcript, speech.start),
            latency_ms=latency,
            acoustics=_acoustics(speech, transcript),
            overlap=overlap,
        )
        if prediction:
            speaker = speech.speaker or self._channels[speech.channel]
            mood, trend = self._moods[speaker].update(
                speech.end / SAMPLE_RATE, prediction.probabilities
            )
            del about["utterance"]
            await self._bus.emit(
                events.Mood, **about, speaker=speech.speaker, probabilities=mood, trend=trend
            )

    async def speaker_merged(self, merged: SpeakersMerged) -> None:
        """Report that two speakers of a channel turned out to be one; so are their moods."""
        if said := self._moods.pop(merged.speaker, None):
            self._moods[merged.into].include(said)
        if self._privacy.reports(merged.channel):
            await self._bus.emit(
                events.SpeakerMerged,
                channel=self._channels[merged.channel],
                speaker=merged.speaker,
                into=merged.into,
                at=to_seconds(merged.at),
            )

    async def sound(self, heard: SoundHeard) -> None:
        """Report a sound that is no speech."""
        if self._privacy.reports(heard.channel):
            await self._bus.emit(
                events.Sound,
                channel=self._channels[heard.channel],
                start=to_seconds(heard.start),
                end=to_seconds(heard.end),
                sound=heard.sound,
                confidence=round(heard.confidence, 4),
            )

    async def gap(self, gap: Gap) -> None:
        """Report lost audio."""
        self.gaps += 1
        await self._bus.emit(
            events.Gap,
            channel=self._channels[gap.channel],
            start=to_seconds(gap.start),
            end=to_seconds(gap.end),
            reason=gap.reason,
        )

    async def mark(self, position: float, label: str | None) -> None:
        """Report a moment that somebody marked, in seconds."""
        await self._bus.emit(events.Mark, at=position, label=label)

    async def alerts(self, position: float) -> None:
        """Report the alerts that are due because the audio has come this far, in seconds."""
        for alert in self._statistics.advance(position):
            await self._bus.emit(events.Alert, **alert)

    async def summary(self, position: float) -> None:
        """Report the conversation as a whole, up to a position in seconds."""
        await self.alerts(position)
        await self._bus.emit(events.Summary, **self._statistics.summary())

    async def error(self, part: str, message: str) -> None:
        """Report that a part failed."""
        await self._bus.error(part, message)

    async def sink_errors(self) -> None:
        """Report what sinks have reported since the last call."""
        await self._bus.emit_reports()

    async def session_ended(self, duration: float, reason: str) -> None:
        """Close the session, after a summary; the duration is in seconds."""
        await self.summary(duration)
        await self._bus.emit(
            events.SessionEnded,
            duration=duration,
            utterances=self.utterances,
            gaps=self.gaps,
            errors=self._bus.errors,
            reason=reason,
        )

    def _text(self, transcript: Transcript, start: int) -> dict[str, object]:
        """Build the fields of an utterance about its text."""
        spoken = transcript.status == "ok"
        shown = spoken and self._privacy.text
        return {
            "text": transcript.text if shown else None,
            "text_status": "withheld" if spoken and not shown else transcript.status,
            "language": transcript.language if spoken else None,
            "words": _words(transcript, start) if shown else None,
        }

    def _about(self, channel: int, start: int, end: int) -> dict[str, str | float]:
        """Build the fields of events about an utterance; its id depends on its place alone."""
        name = self._channels[channel]
        return {
            "channel": name,
            "start": to_seconds(start),
            "end": to_seconds(end),
            "utterance": f"{self._bus.session}:{name}:{start}",
        }


def _emotion(prediction: "Prediction | None") -> dict[str, object]:
    """Build the fields of an utterance about its emotion."""
    if prediction is None:
        return {
            "emotion": None,
            "confidence": 0.0,
            "probabilities": {},
            "abstained": True,
            "modalities": [],
        }
    return {
        "emotion": prediction.label,
        "confidence": round(prediction.confidence, 4),
        "probabilities": prediction.probabilities,
        "abstained": prediction.abstained,
        "modalities": list(prediction.modalities),
        "likely": list(prediction.likely) or None,
        "dimensions": _dimensions(prediction),
    }


def _dimensions(prediction: "Prediction") -> events.Dimensions | None:
    """Build the dimensions of an emotion; None unless the model estimates both."""
    known = prediction.dimensions or {}
    if not events.Dimensions.model_fields.keys() <= known.keys():
        return None
    return events.Dimensions(valence=round(known["valence"], 4), arousal=round(known["arousal"], 4))


def _acoustics(speech: SpeechEnded, transcript: Transcript) -> events.Acoustics | None:
    """Build the acoustics of an utterance, with the rate of its words."""
    if speech.acoustics is None:
        return None
    text = transcript.text if transcript.status == "ok" else ""
    rate = words_per_minute(text, (speech.end - speech.start) / SAMPLE_RATE)
    return speech.acoustics.model_copy(update={"words_per_minute": rate})


def _words(transcript: Transcript, start: int) -> list[events.Word] | None:
    """Build the words of an utterance that starts there, on the conversation's time; None if there are none."""
    begin = to_seconds(start)
    return [
        events.Word(
            word=word.text,
            start=begin + word.start,
            end=begin + word.end,
            confidence=round(word.probability, 4),
        )
        for word in transcript.words
    ] or None
