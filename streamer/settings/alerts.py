"""The settings of alerts: rules, and where alerts are sent."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamer.settings.secrets import Secret
from streamer.settings.section import Section


class _Rule(Section):
    name: str = Field(min_length=1, max_length=64, description="what the alert is called")
    speaker: str | None = Field(
        default=None, max_length=64, description="only this speaker; null: everyone"
    )
    cooldown: float = Field(
        default=60.0, ge=0, le=86_400, description="seconds after an alert without another one"
    )


class _Lasting(_Rule):
    utterances: int = Field(
        default=2, ge=1, le=100, description="least number of utterances in a row that match"
    )
    seconds: float = Field(
        default=0.0, ge=0, le=3600, description="least seconds from the first of them to the last"
    )


class EmotionRule(_Lasting):
    """An emotion is likely."""

    when: Literal["emotion"]
    emotion: str = Field(min_length=1, max_length=64, description="a label of the bundle")
    above: float = Field(default=0.8, gt=0, le=1, description="probability that matches")
    until: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="probability below which it is over; null: above - 0.2",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.until is not None and self.until > self.above:
            raise ValueError(f"until {self.until:g} is over above {self.above:g}")
        return self


class ValenceRule(_Lasting):
    """The valence is low."""

    when: Literal["valence"]
    below: float = Field(default=-0.6, ge=-1, le=1, description="valence that matches")
    until: float | None = Field(
        default=None, ge=-1, le=1, description="valence above which it is over; null: below + 0.2"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.until is not None and self.until < self.below:
            raise ValueError(f"until {self.until:g} is under below {self.below:g}")
        return self


class PhraseRule(_Rule):
    """A word or phrase is said; case and accents' encoding do not matter."""

    when: Literal["phrase"]
    phrases: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        min_length=1, max_length=200, description="whole words each"
    )


class OverlapRule(_Rule):
    """Two speakers at the same time."""

    when: Literal["overlap"]
    seconds: float = Field(default=2.0, gt=0, le=600, description="least seconds of one utterance")


class SilenceRule(_Rule):
    """Silence of all, or of the speaker."""

    when: Literal["silence"]
    seconds: float = Field(default=15.0, gt=0, le=86_400, description="least seconds of silence")


class GapRule(_Rule):
    """Audio is lost."""

    when: Literal["gap"]
    seconds: float = Field(default=1.0, ge=0, le=86_400, description="least seconds lost at once")


Rule = Annotated[
    EmotionRule | ValenceRule | PhraseRule | OverlapRule | SilenceRule | GapRule,
    Field(discriminator="when"),
]


class Alerts(Section):
    """Rules of alerts, and where alerts go besides the other events."""

    rules: tuple[Rule, ...] = Field(
        default=(), max_length=100, description="each with a name; see docs/alerts.md"
    )
    webhook: str | None = Field(
        default=None,
        max_length=2000,
        pattern="^https?://",
        description="URL to which each alert is posted as JSON",
    )
    webhook_secret: Secret | None = Field(
        default=None, description="key of the signature, or {file: FILE}"
    )
    exec: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="program and arguments run for each alert, without a shell; the event is its input",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two rules are called {min(twice)}")
        return self
