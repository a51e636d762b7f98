"""Base of the settings' sections."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of the settings: known keys only, finite numbers, never changed after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def constant(default: Any, **bounds: Any) -> Any:
    """Return a value that is no setting: neither printed nor read from files, but tests and evaluations may vary it."""
    return Field(default=default, exclude=True, **bounds)
