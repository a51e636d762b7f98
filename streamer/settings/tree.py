"""The settings: one tree in which every field has a description, its unit and its bounds.

`configuration` fills it from a file, the environment and the command line.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from streamer.mqtt.settings import Mqtt
from streamer.registry import DETECTORS, TRANSCRIBERS
from streamer.settings.alerts import Alerts
from streamer.web.settings import Web


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ChannelMode = Literal["analyse", "context", "exclude"]


class Audio(_Section):
    """How channels are read."""

    channels: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(),
        max_length=64,
        description="names of the speakers, one for each channel in order; empty: made up",
    )
    dual_mono: bool = Field(
        default=True,
        description="treat a stereo recording as one channel if both carry the same signal",
    )


class Segmentation(_Section):
    """How speech is cut into utterances."""

    detector: Annotated[str, AfterValidator(DETECTORS.known)] = Field(
        default="gated",
        description="voice detector: gated (webrtcvad as the cheap gate, Silero to confirm), silero, webrtcvad",
    )
    detector_options: dict[str, int | float | bool | str] = Field(
        default_factory=dict,
        max_length=32,
        description="the detector's own; gated and webrtcvad: aggressiveness, 0 to 3 (strictest, default 2)",
    )
    start_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="probability at which a frame counts as speech"
    )
    stop_threshold: float = Field(
        default=0.45,
        gt=0,
        lt=1,
        description="while someone speaks, probability under which a frame counts as silence",
    )
    pre_roll: float = Field(
        default=0.3, ge=0, le=2, description="seconds kept before the first voiced frame"
    )
    hangover: float = Field(
        default=0.5, ge=0.06, le=5, description="seconds of silence that end an utterance"
    )
    endpoint: Literal["fixed", "adaptive"] = Field(
        default="fixed",
        description="what ends an utterance: the hangover, or the sound of the turn",
    )
    complete: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="adaptive: probability at which a turn sounds complete and the utterance ends",
    )
    complete_silence: float = Field(
        default=0.21, ge=0.06, le=2, description="adaptive: seconds of silence after which it may"
    )
    end_silence: float = Field(
        default=0.7,
        ge=0.06,
        le=5,
        description="adaptive: seconds of silence that end an utterance, complete or not",
    )
    pause: float = Field(
        default=0.15,
        ge=0.03,
        le=2,
        description="seconds of silence after which work ahead begins; below the hangover",
    )
    tail: float = Field(
        default=0.09, ge=0, le=1, description="seconds kept after the last voiced frame"
    )
    min_speech: float = Field(
        default=0.12,
        ge=0.03,
        le=2,
        description="seconds of speech that confirm an utterance; anything shorter is noise",
    )
    max_utterance: float = Field(
        default=20.0, ge=2, le=120, description="seconds after which an utterance is split"
    )
    split_search: float = Field(
        default=4.0,
        ge=0.1,
        le=60,
        description="seconds before the maximum in which the quietest place to split is looked for",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.stop_threshold > self.start_threshold:
            raise ValueError(
                f"stop_threshold {self.stop_threshold:g} is above start_threshold"
                f" {self.start_threshold:g}: what starts speech would not keep it going"
            )
        adaptive = self.endpoint == "adaptive"
        for key in ("complete_silence", "end_silence") if adaptive else ("hangover",):
            if self.pause >= (silence := getattr(self, key)):
                raise ValueError(
                    f"pause {self.pause:g} s is not below {key} {silence:g} s:"
                    " speech would end before it pauses"
                )
        if self.pause + self.min_speech > self.split_search:
            raise ValueError(
                f"split_search {self.split_search:g} s is shorter than pause + min_speech"
                f" {self.pause + self.min_speech:g} s: no place to split would be sure to exist"
            )
        if self.pre_roll + self.min_speech + self.split_search > self.max_utterance:
            raise ValueError(
                f"max_utterance {self.max_utterance:g} s is shorter than pre_roll + min_speech +"
                f" split_search {self.pre_roll + self.min_speech + self.split_search:g} s:"
                " a split could leave a part without speech"
            )
        return self


def _backend(name: str) -> str:
    return name if name == "auto" else TRANSCRIBERS.known(name)


class Asr(_Section):
    """How utterances are transcribed."""

    backend: Annotated[str, AfterValidator(_backend)] = Field(
        default="auto",
        description="auto: whisper if a model can be had, else audio alone",
    )
    model: str = Field(
        default="auto",
        min_length=1,
        description="whisper model: a directory, a name (`streamer models list`), or auto: the best on this machine",
    )
    offline: bool = Field(default=False, description="never ask the hub for a model")
    language: str = Field(
        default="en",
        pattern="^(auto|[a-z]{2,3})$",
        description="language spoken (ISO 639), or auto: recognise it, with a model of many languages",
    )
    compute_type: Literal["auto", "int8", "int8_float16", "float16", "float32"] = Field(
        default="auto", description="arithmetic of whisper; auto: int8 on CPU, float16 on GPU"
    )
    words: bool = Field(
        default=False, description="say when each word was spoken, and with what probability"
    )
    terms: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(), max_length=50, description="names and terms to expect, spelt as they should be"
    )
    beam_size: int = Field(default=1, ge=1, le=10, description="hypotheses kept while decoding")
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="threads of one transcriber; 0: half of the cores, shared among them, at most 4",
    )
    no_speech: float = Field(
        default=0.6, ge=0, le=1, description="probability of no speech over which text is rejected"
    )
    min_log_probability: float = Field(
        default=-1.0,
        ge=-10,
        le=0,
        description="average log probability under which text is rejected",
    )
    max_compression: float = Field(
        default=2.4,
        gt=1,
        le=20,
        description="compression ratio over which text counts as repetition and is rejected",
    )
    max_words_per_second: float = Field(
        default=8.0, gt=0, le=100, description="words per second over which text is rejected"
    )
    ahead: bool = Field(
        default=True, description="begin to transcribe when speech pauses, before the endpoint"
    )

    @property
    def spoken(self) -> str | None:
        """The language spoken, or None if it is to be recognised."""
        return None if self.language == "auto" else self.language


class Emotion(_Section):
    """The model that judges."""

    bundle: str = Field(
        default="streamer-en-1",
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
    update_interval: float = Field(
        default=0.5, ge=0.1, le=60, description="least seconds between estimates while speaking"
    )
    mood_half_life: float = Field(
        default=30.0, gt=0, le=3600, description="seconds after which an utterance counts half"
    )


class Engine(_Section):
    """What conversations share: models, threads, device."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="where whisper runs; auto: a GPU if there is one. For the emotion model: emotion.device",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description="cores to use, for hearing and judging side by side and for whisper; 0: all",
    )
    transcribers: int = Field(
        default=1, ge=1, le=64, description="utterances transcribed at the same time"
    )


class Live(_Section):
    """What holds when audio cannot wait."""

    max_lag: float = Field(
        default=5.0, ge=0.5, le=120, description="seconds of audio that analysis may be behind"
    )


class Sinks(_Section):
    """Where events go."""

    queue: int = Field(
        default=1000, ge=10, le=1_000_000, description="events that a slow sink may be behind"
    )


class Privacy(_Section):
    """What may leave the program."""

    text: bool = Field(default=True, description="false: no transcript leaves, anywhere")
    channels: dict[str, ChannelMode] = Field(
        default_factory=dict,
        description="by a channel's name: analyse, context (heard, never labelled) or exclude",
    )


class Log(_Section):
    """What is said on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="least severity of log lines"
    )


class Settings(_Section):
    """All settings of streamer."""

    audio: Audio = Audio()
    segmentation: Segmentation = Segmentation()
    asr: Asr = Asr()
    emotion: Emotion = Emotion()
    engine: Engine = Engine()
    live: Live = Live()
    sinks: Sinks = Sinks()
    mqtt: Mqtt = Mqtt()
    privacy: Privacy = Privacy()
    alerts: Alerts = Alerts()
    web: Web = Web()
    log: Log = Log()
