"""AudioSocket, the protocol by which Asterisk hands a call's audio to a program: plain TCP.

Each message is a type (one byte), a length (two bytes, big-endian) and so many bytes: 0x00 ends the call, 0x01 is its
UUID (16 bytes), 0x03 a DTMF digit, 0x10 to 0x18 signed 16-bit little-endian mono audio at 8 to 192 kHz, 0xff an error.
The UUID is the session. AudioSocket has no way to prove who connects: it is served on loopback only.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable

import numpy as np

from streamer.errors import UserError
from streamer.sources import SourceInfo
from streamer.sources.network import AheadError, NetworkSource
from streamer.web.connection import Services
from streamer.web.encodings import RawChannels
from streamer.web.hub import BusyError, Running

log = logging.getLogger(__name__)

_END, _UUID, _DTMF, _ERROR = 0x00, 0x01, 0x03, 0xFF
_RATES = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
_UUID_BYTES = 16


def handler(
    services: Services,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
    """Make what `asyncio.start_server` calls for each connection."""

    def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> "asyncio.Future[None]":
        return asyncio.ensure_future(_serve(reader, writer, services))

    return connected


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, services: Services
) -> None:
    try:
        async with asyncio.timeout(services.limits.handshake):
            call = await _first(reader)
        session = services.hub.name_session(str(call), "audiosocket")
        source = NetworkSource(
            SourceInfo("audiosocket", ("caller",), True, session), services.limits.ahead
        )
        await _feed(reader, source, services.hub.start(session, source), services)
    except (UserError, BusyError) as error:
        log.warning("AudioSocket: %s", error)
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        log.info("AudioSocket: a connection ended without a call")
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _feed(
    reader: asyncio.StreamReader, source: NetworkSource, running: Running, services: Services
) -> None:
    """Feed a call's audio until it is hung up; the conversation is over when this returns."""
    failure: str | None = None
    decoders: dict[int, RawChannels] = {}
    try:
        while True:
            async with asyncio.timeout(services.limits.idle):
                kind, payload = await _message(reader)
            if kind in _RATES:
                raw = decoders.setdefault(kind, RawChannels("s16le", _RATES[kind], 1))
                await source.push(0, np.ascontiguousarray(raw.decode(payload)[:, 0]))
            elif kind == _DTMF:
                running.control.mark(f"DTMF {payload[:1].decode('ascii', 'replace')}")
            elif kind in (_END, _ERROR):
                failure = "the exchange reported an error" if kind == _ERROR else None
                break
    except TimeoutError:
        failure = f"no audio within {services.limits.idle:g} s"
    except (asyncio.IncompleteReadError, ConnectionError):
        failure = "the connection was lost"
    except AheadError as error:
        failure = str(error)
    await source.end(failure)
    if running.task:
        await asyncio.wait({running.task})


async def _first(reader: asyncio.StreamReader) -> uuid.UUID:
    """Read the call's UUID.

    Raises:
        UserError: if something else comes first.
    """
    kind, payload = await _message(reader)
    if kind != _UUID or len(payload) != _UUID_BYTES:
        raise UserError("expected the call's UUID first")
    return uuid.UUID(bytes=payload)


async def _message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    header = await reader.readexactly(3)
    return header[0], await reader.readexactly(int.from_bytes(header[1:], "big"))
