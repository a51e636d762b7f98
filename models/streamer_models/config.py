"""Base of the configurations of encoders and systems: bounds on every number, and names of classes."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)

from streamer_models import registry

# Bounds, so that a configuration read from a file cannot ask for more than any network here needs.
Width = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=1, le=48)]
Heads = Annotated[int, Field(ge=1, le=64)]
FeedForward = Annotated[int, Field(ge=1, le=16_384)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Label = Annotated[
    str, Field(pattern=r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,30}[^\s\x00-\x1f\x7f])?$")
]
Dimension = Literal["valence", "arousal"]


class NetworkConfig(BaseModel):
    """The sizes of one network: immutable, and strict about what it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class EncoderConfig(NetworkConfig):
    """The configuration of an audio or text encoder; `encoder` is its name in the registry."""

    encoder: str
    embedding: Width = 100
    """Size of an embedding vector."""


def first_of(error: ValidationError) -> str:
    """Return the first complaint of a validation, in one line: where, and what."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    return one_line(f"{place}: {message}" if place else message)


def one_line(text: str) -> str:
    """Return a message in one line of at most 300 characters."""
    return " ".join(text.split())[:300]


def _read(names: registry.Registry) -> BeforeValidator:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        name = value.get("encoder")
        if not isinstance(name, str):
            raise ValueError("encoder: a name is missing")  # noqa: TRY004 - pydantic's to report
        try:
            return names.find(name).config_class.model_validate(value)
        except ValidationError as error:
            raise ValueError(first_of(error)) from error

    return BeforeValidator(read)


AudioConfig = Annotated[SerializeAsAny[EncoderConfig], _read(registry.AUDIO_ENCODERS)]
TextConfig = Annotated[SerializeAsAny[EncoderConfig], _read(registry.TEXT_ENCODERS)]


class SystemConfig(NetworkConfig):
    """Base of every system's configuration."""

    labels: Annotated[tuple[Label, ...], Field(min_length=2, max_length=64)] = (
        "angry",
        "happy",
        "sad",
        "neutral",
    )
    dimensions: Annotated[tuple[Dimension, ...], Field(max_length=2)] = ()
    """Dimensions that are estimated beside the classes, each in [-1, 1]."""
    audio: AudioConfig | None = None
    """None: every utterance lacks audio."""
    text: TextConfig | None = None
    """None: every utterance lacks text."""

    @model_validator(mode="after")
    def _names_differ(self) -> "SystemConfig":
        if self.audio is None and self.text is None:
            raise ValueError("a model needs audio, text, or both")
        for names in (self.labels, self.dimensions):
            if len(set(names)) != len(names):
                raise ValueError("labels and dimensions must differ from one another")
        return self
