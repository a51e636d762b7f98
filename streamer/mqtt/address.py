"""The broker's address, the credentials and TLS, from the settings and a URL."""

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from streamer.errors import UserError
from streamer.mqtt.identity import kept_name, state_directory
from streamer.mqtt.settings import Mqtt
from streamer.mqtt.topics import Topics, check_prefix, segment
from streamer.settings.secrets import SecretFile, read_secret

DEFAULT_PREFIX = "streamer"
CREDENTIAL = "mqtt-password"
"""Name of systemd's credential: `LoadCredential=mqtt-password:/etc/streamer/mqtt-password`."""

FORM = "mqtt[s]://[USER@]HOST[:PORT][/PREFIX] (or ws[s]://)"
"""How a broker's URL is written."""

_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
_TLS_SCHEMES = {"mqtts", "wss"}
_TLS_PROBE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Broker:
    """Address of a broker, and the topics used there."""

    host: str
    port: int
    topics: Topics
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    protocol: str = "auto"
    transport: Literal["tcp", "websockets"] = "tcp"
    path: str = ""
    """Of the WebSocket."""
    retain: bool = True
    """Whether messages may be retained."""
    qos: int = 1
    """Quality of service of what is published: 1 (at least once) or 0 (at most once)."""

    def __str__(self) -> str:
        """Return the broker's name in messages."""
        return f"{self.host}:{self.port}"


def broker(settings: Mqtt, url: str | None = None) -> Broker:
    """Make the broker that the settings and the URL of the command line name.

    Raises:
        UserError: if the URL, a certificate or the password cannot be used.
    """
    scheme, username, host, port, prefix = _parse(url or settings.url or "")
    password = _password(settings)
    if password is not None and username is None:
        raise UserError("MQTT: a password without a user name; write mqtt://USER@HOST")
    encrypted = scheme in _TLS_SCHEMES
    if not settings.check_host and not encrypted:
        raise UserError(f"mqtt.check_host: false has no effect without TLS ({scheme}s://)")
    return Broker(
        host=host,
        port=port,
        topics=Topics(prefix, node_name(settings)),
        username=username,
        password=password,
        tls=_tls(settings) if encrypted else None,
        protocol=settings.protocol,
        transport="websockets" if scheme.startswith("ws") else "tcp",
        path=settings.websocket_path,
        retain=settings.retain,
        qos=settings.qos,
    )


def node_name(settings: Mqtt) -> str:
    """Return the publisher's name, as a level of a topic.

    Raises:
        UserError: if the one in the settings is not a valid level.
    """
    if settings.node is None:
        return kept_name(state_directory(settings.outbox))
    if segment(settings.node) != settings.node:
        raise UserError(f"mqtt.node {settings.node!r}: only letters, digits and . @ = _ -")
    return settings.node


def _parse(url: str) -> tuple[str, str | None, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.password is not None:
        raise UserError(
            "MQTT URL: other users can read a password there; "
            "put it into a file (mqtt.password.file) or into STREAMER_MQTT_PASSWORD"
        )
    # "?" and "#" would be cut off, also where nothing stands behind them.
    if parts.scheme not in _PORTS or not parts.hostname or "?" in url or "#" in url:
        shown = url.rpartition("@")[2][:100]
        raise UserError(f"MQTT URL {shown!r}: expected {FORM}")
    prefix = check_prefix(unquote(parts.path.strip("/")) or DEFAULT_PREFIX)
    username = unquote(parts.username) if parts.username else None
    return parts.scheme, username, parts.hostname, port or _PORTS[parts.scheme], prefix


def _password(settings: Mqtt) -> str | None:
    secret = settings.password
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if secret is None and credentials and (file := Path(credentials) / CREDENTIAL).exists():
        secret = SecretFile(file=file)
    return read_secret(secret, "mqtt.password")


def _tls(settings: Mqtt) -> ssl.SSLContext:
    for name in ("ca", "certificate", "key"):
        file: Path | None = getattr(settings, name)
        if file is not None and not file.expanduser().is_file():
            raise UserError(f"mqtt.{name} {file}: no such file")
    ca, certificate, key = (
        file.expanduser() if file else None
        for file in (settings.ca, settings.certificate, settings.key)
    )
    try:
        context = ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError):
        raise UserError(f"mqtt.ca {ca}: not certificates in PEM form") from None
    if certificate is not None:
        try:
            # An encrypted key would make OpenSSL ask on the terminal, where nobody may be.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError):
            raise UserError(
                f"mqtt.certificate {certificate}: not a certificate with its unencrypted key (PEM)"
            ) from None
    context.check_hostname = settings.check_host
    context.sslsocket_class = _Socket
    return context


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails, which the MQTT library does not do."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


async def answers_tls(broker: Broker) -> bool:
    """Return whether a TLS server listens at a broker's address."""
    return await asyncio.to_thread(_answers_tls, broker.host, broker.port)


def _answers_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent over this connection
    try:
        with socket.create_connection((host, port), _TLS_PROBE_TIMEOUT) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False
    return True
