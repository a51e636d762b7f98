"""The settings: one tree in which every field has a description, its unit and its bounds.

`load` fills it from a file, the environment and the command line. Fields made by `constant` are no settings: nobody
needs to turn them, but tests and evaluations do.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from streamer import cores
from streamer.mqtt.settings import Mqtt
from streamer.registry import DETECTORS, TRANSCRIBERS
from streamer.settings.alerts import Alerts
from streamer.settings.section import Section, constant
from streamer.web.settings import Web

ChannelMode = Literal["analyse", "context", "exclude"]


class Audio(Section):
    """Channels of the audio."""

    channels: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(),
        max_length=64,
        description="names of the speakers, one for each channel in order; empty: made up",
    )


class Segmentation(Section):
    """Segmentation of speech into utterances."""

    detector: Annotated[str, AfterValidator(DETECTORS.known)] = Field(
        default="gated",
        description="voice detector: gated (webrtcvad as the cheap gate, Silero to confirm), silero, webrtcvad",
    )
    detector_options: dict[str, int | float | bool | str] = Field(
        default_factory=dict,
        max_length=32,
        description="the detector's own; gated and webrtcvad: aggressiveness, 0 to 3 (strictest, default 2)",
    )
    threshold: float = Field(
        default=0.5, gt=0, lt=1, description="probability at which a frame counts as speech"
    )
    hysteresis: float = constant(
        0.05, ge=0, lt=1, description="how far below it a frame is silence while someone speaks"
    )
    pre_roll: float = constant(
        0.3, ge=0, le=2, description="seconds kept before the first voiced frame"
    )
    end_silence: float | None = Field(
        default=None,
        ge=0.06,
        le=5,
        description="seconds of silence that end an utterance; null: 0.7, fixed 0.5",
    )
    endpoint: Literal["fixed", "adaptive"] = Field(
        default="adaptive",
        description="what ends an utterance: silence, sooner if the turn sounds complete; fixed: silence alone",
    )
    complete: float = constant(
        0.15,
        ge=0,
        le=1,
        description="adaptive: probability at which a turn sounds complete and the utterance ends",
    )
    complete_silence: float = constant(
        0.27, ge=0.06, le=2, description="adaptive: seconds of silence after which it may"
    )
    pause: float = constant(
        0.15, ge=0.03, le=2, description="seconds of silence after which work ahead begins"
    )
    tail: float = constant(0.09, ge=0, le=1, description="seconds kept after the last voiced frame")
    min_speech: float = constant(
        0.12,
        ge=0.03,
        le=2,
        description="seconds of speech that confirm an utterance; anything shorter is noise",
    )
    max_utterance: float = Field(
        default=20.0, ge=2, le=120, description="seconds after which an utterance is split"
    )
    split_search: float = constant(
        4.0,
        ge=0.1,
        le=60,
        description="seconds before the maximum in which the quietest place to split is looked for",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        shortest = min(self.silence, self.complete_silence) if self.adaptive else self.silence
        if self.pause >= shortest:
            raise ValueError(
                f"end_silence {shortest:g} s is not above {self.pause:g} s: speech would end before it pauses"
            )
        if self.pause + self.min_speech > self.split_search:
            raise ValueError(
                f"min_speech {self.min_speech:g} s is longer than {self.split_search - self.pause:g} s:"
                " no place to split would be sure to exist"
            )
        if self.pre_roll + self.min_speech + self.split_search > self.max_utterance:
            raise ValueError(
                f"max_utterance {self.max_utterance:g} s is shorter than pre_roll + min_speech"
                f" + {self.split_search:g} s = {self.pre_roll + self.min_speech + self.split_search:g} s:"
                " a split could leave a part without speech"
            )
        return self

    @property
    def adaptive(self) -> bool:
        """Whether the sound of a turn may end it."""
        return self.endpoint == "adaptive"

    @property
    def silence(self) -> float:
        """Seconds of silence that end an utterance in any case."""
        if self.end_silence is not None:
            return self.end_silence
        return 0.7 if self.adaptive else 0.5


class Speakers(Section):
    """Speakers of channels that have several."""

    channels: Literal["auto", "one", "many"] = Field(
        default="auto",
        description="speakers of a channel: one; many, distinguished by voice; auto: many where there is one channel",
    )
    max: int = Field(
        default=8, ge=1, le=64, description="speakers distinguished in a channel at most"
    )

    enrolled: bool = Field(
        default=False, description="name people whose voices are enrolled (`streamer voices`)"
    )

    def several(self, channels: int) -> bool:
        """Return whether speakers are distinguished within each of so many channels."""
        return self.channels == "many" or (self.channels == "auto" and channels == 1)


def _backend(name: str) -> str:
    return name if name == "auto" else TRANSCRIBERS.known(name)


class Asr(Section):
    """Transcription of utterances."""

    backend: Annotated[str, AfterValidator(_backend)] = Field(
        default="auto",
        description="auto: whisper if a model can be had, else audio alone",
    )
    model: str = Field(
        default="auto",
        min_length=1,
        description="whisper model: a directory, a name (`streamer models list`), or auto: the best on this machine",
    )
    language: str = Field(
        default="en",
        pattern="^(auto|[a-z]{2,3})$",
        description="language spoken (ISO 639), or auto: recognise it, with a model of many languages",
    )
    words: bool = Field(
        default=False, description="say when each word was spoken, and with what probability"
    )
    partial: bool = Field(
        default=False, description="transcribe while people speak, too (speech_update.text)"
    )
    terms: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(), max_length=50, description="names and terms to expect, spelt as they should be"
    )
    beam_size: int = Field(default=1, ge=1, le=10, description="hypotheses kept while decoding")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where whisper runs; auto: a GPU if there is one"
    )
    parallel: int = Field(
        default=1, ge=1, le=64, description="utterances transcribed at the same time"
    )
    ahead: bool = constant(
        True, description="begin to transcribe when speech pauses, before the endpoint"
    )

    @property
    def spoken(self) -> str | None:
        """The language spoken, or None if it is to be recognised."""
        return None if self.language == "auto" else self.language


class Emotion(Section):
    """The model that judges."""

    bundle: str = Field(
        default="streamer-en-2",
        min_length=1,
        description="a bundle's directory, or the name of one that comes with streamer",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="where it runs; cuda has not been tried: each call takes a CPU about a millisecond",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="confidence under which the model abstains; null: the bundle's own",
    )
    video: str | None = Field(
        default=None,
        min_length=1,
        description="features of a recording's video, for models that take it: an npz of times and features",
    )
    estimate_interval: float = Field(
        default=0.5,
        ge=0.1,
        le=60,
        description="least seconds between estimates while speaking; a Whisper encoder makes them after 1, 2, 4 ... s",
    )
    mood_half_life: float = Field(
        default=30.0, gt=0, le=3600, description="seconds after which an utterance counts half"
    )


class Sounds(Section):
    """Sounds that are no speech."""

    detect: bool = Field(
        default=True, description="report laughs, sighs, crying, coughs, music and tones"
    )


class Live(Section):
    """Live conversations: audio cannot wait."""

    max_lag: float = Field(
        default=5.0, ge=0.5, le=120, description="seconds of audio that analysis may be behind"
    )


class Privacy(Section):
    """Privacy: what may leave the program."""

    text: bool = Field(default=True, description="false: no transcript leaves, anywhere")
    channels: dict[str, ChannelMode] = Field(
        default_factory=dict,
        description="by a channel's name: analyse, context (heard, never labelled) or exclude",
    )


class Log(Section):
    """Messages on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="least severity of log lines"
    )
    format: Literal["text", "json"] = Field(
        default="text", description="json: one object a line, for log collectors"
    )


class Settings(Section):
    """All settings of streamer."""

    cores: int = Field(
        default=0, ge=0, le=256, description="CPU cores to use; 0: all that this process may use"
    )
    audio: Audio = Audio()
    segmentation: Segmentation = Segmentation()
    speakers: Speakers = Speakers()
    asr: Asr = Asr()
    emotion: Emotion = Emotion()
    sounds: Sounds = Sounds()
    live: Live = Live()
    mqtt: Mqtt = Mqtt()
    privacy: Privacy = Privacy()
    alerts: Alerts = Alerts()
    web: Web = Web()
    log: Log = Log()

    @property
    def usable_cores(self) -> int:
        """How many cores to use: those asked for, else all that this process may use."""
        return self.cores or cores.available()
