"""What the configurations of the networks have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Bounds, so that a configuration read from a file cannot ask for more than any network here needs.
Width = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[int, Field(ge=1, le=48)]
Heads = Annotated[int, Field(ge=1, le=64)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class NetworkConfig(BaseModel):
    """The sizes of one network: immutable, and strict about what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)
