"""Settings of the server."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from streamer.settings.secrets import Secret
from streamer.settings.section import Section


class Web(Section):
    """Server: who may connect, and how much each may ask for."""

    token: Annotated[
        Secret | None,
        Field(description="secret that clients must send, or {file: FILE}; needed beyond loopback"),
    ] = None
    origins: Annotated[
        tuple[str, ...],
        Field(description="web origins allowed beside the server's own, e.g. https://example.org"),
    ] = ()
    certificate: Annotated[Path | None, Field(description="TLS certificate chain (PEM file)")] = (
        None
    )
    key: Annotated[Path | None, Field(description="private key of the certificate (PEM file)")] = (
        None
    )
    max_conversations: Annotated[
        int, Field(ge=1, le=1000, description="conversations at the same time")
    ] = 64
    max_ahead: Annotated[
        float, Field(ge=1, le=3600, description="live audio ahead of real time (s)")
    ] = 30.0
