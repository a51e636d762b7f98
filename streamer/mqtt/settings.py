"""The section `mqtt` of the settings."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from streamer.settings.secrets import Secret
from streamer.settings.section import Section


class Mqtt(Section):
    """MQTT: publishing of events."""

    url: str | None = Field(
        default=None,
        max_length=500,
        description="broker and prefix, mqtt://, mqtts://, ws:// or wss://[USER@]HOST[:PORT][/PREFIX]; "
        "null: no MQTT",
    )
    node: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="name of this publisher, unique at its broker; null: made once and kept in the "
        "state directory",
    )
    required: bool = Field(
        default=False,
        description="exit with code 1 if events are undelivered at the end, instead of leaving them to "
        "the next run",
    )
    password: Secret | None = Field(
        default=None,
        description="of the URL's user, or {file: FILE}; null: systemd's credential mqtt-password, if any",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="version of MQTT; auto: 5, or 3.1.1 if the broker has no 5"
    )
    websocket_path: str = Field(
        default="/mqtt",
        pattern=r"^/[!-~]*$",
        max_length=200,
        description="path of the WebSocket, for ws:// and wss://",
    )
    qos: Literal[0, 1] = Field(
        default=1,
        description="quality of service of events; 0 (at most once) for brokers without acknowledgements",
    )
    retain: bool = Field(
        default=True,
        description="false: for brokers that do not retain messages; subscribers learn states later",
    )
    ca: Path | None = Field(
        default=None, description="certificates that a broker's is checked with; null: the system's"
    )
    certificate: Path | None = Field(default=None, description="client certificate for the broker")
    key: Path | None = Field(default=None, description="key of the certificate, if not in its file")
    check_host: bool = Field(
        default=True, description="the broker's certificate must carry the host name of the URL"
    )
    types: tuple[str, ...] = Field(
        default=(), max_length=64, description="types of events that are published; empty: all"
    )
    retention: float = Field(
        default=604_800.0,
        ge=1,
        le=31_536_000,
        description="seconds that an undelivered event is kept, here and (MQTT 5) at the broker for "
        "absent subscribers",
    )
    outbox: Path | None = Field(
        default=None,
        description="directory of undelivered events and the node's name; null: streamer's own state "
        "directory",
    )
    home_assistant: bool = Field(
        default=False, description="announce the speakers to Home Assistant"
    )
    commands: bool = Field(
        default=False, description="accept the commands pause, resume, mark and summary over MQTT"
    )
