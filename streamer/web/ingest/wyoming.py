"""Wyoming, the protocol of voice assistants (Home Assistant, Rhasspy): speech recognition with the emotion beside it.

`describe` is answered with `info`; `transcribe`, `audio-start`, `audio-chunk` and `audio-stop` with one `transcript`:
the words of all utterances, and under `context` what they express. Served by the `wyoming` package over TCP.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info

from streamer import __version__, events
from streamer.errors import UserError
from streamer.sources import SourceInfo
from streamer.sources.network import AheadError, NetworkSource
from streamer.web.connection import Services
from streamer.web.encodings import MAX_RATE, MIN_RATE, RawChannels
from streamer.web.hub import BusyError, Running

log = logging.getLogger(__name__)

_ATTRIBUTION = Attribution(name="streamer", url="https://pypi.org/project/streamer-emotion/")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What the protocol's package raises for malformed messages."""
_MAX_CHANNELS = 2


def handler(
    services: Services, languages: list[str]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
    """Make what `asyncio.start_server` calls for each connection."""
    info = _info(languages)

    def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> "asyncio.Future[None]":
        return asyncio.ensure_future(_Client(reader, writer, services, info).serve())

    return connected


def _info(languages: list[str]) -> Event:
    model = AsrModel(
        name="streamer",
        attribution=_ATTRIBUTION,
        installed=True,
        description="Speech recognition with the emotion expressed",
        version=__version__,
        languages=languages,
    )
    program = AsrProgram(
        name="streamer",
        attribution=_ATTRIBUTION,
        installed=True,
        description="Emotion of each utterance",
        version=__version__,
        models=[model],
    )
    return Info(asr=[program]).event()


class _Bounded:
    """Reads messages of a bounded size.

    Args:
        reader: what is read.
        most: bytes of a message.
    """

    def __init__(self, reader: asyncio.StreamReader, most: int) -> None:
        self.readline = reader.readline  # up to 64 KiB, as every StreamReader
        self._reader = reader
        self._most = most

    async def readexactly(self, count: int) -> bytes:
        """See `StreamReader.readexactly`."""
        if not 0 <= count <= self._most:
            raise ValueError(f"a message of {count} bytes")
        return await self._reader.readexactly(count)


class _Client:
    """One connection; it may bring several pieces of speech, one after the other."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        services: Services,
        info: Event,
    ) -> None:
        self._bounded = _Bounded(reader, services.limits.message)
        self._writer = writer
        self._services = services
        self._info = info
        self._running: Running | None = None
        self._source: NetworkSource | None = None
        self._raw: RawChannels | None = None

    async def serve(self) -> None:
        """Answer messages until the client goes."""
        try:
            while True:
                async with asyncio.timeout(self._services.limits.idle):
                    event = await async_read_event(self._bounded)  # type: ignore[arg-type]
                if event is None:
                    return
                await self._take(event)
        except (UserError, BusyError, AheadError) as error:
            log.warning("Wyoming: %s", error)
            await self._write(Event("error", {"text": str(error)}))
        except (TimeoutError, ConnectionError, EOFError, *_MALFORMED):
            log.info("Wyoming: a connection was ended")
        finally:
            if self._source is not None:
                await self._source.end("the connection was lost")
            self._writer.close()

    async def _take(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self._write(self._info)
        elif AudioStart.is_type(event.type):
            self._start(AudioStart.from_event(event))
        elif AudioChunk.is_type(event.type) and self._source and self._raw:
            await self._push(self._raw.decode(AudioChunk.from_event(event).audio))
        elif AudioStop.is_type(event.type) and self._source and self._raw:
            await self._push(self._raw.decode(b"", last=True))
            await self._answer()

    def _start(self, start: AudioStart) -> None:
        if start.width != 2 or not MIN_RATE <= start.rate <= MAX_RATE:
            raise UserError(f"expected 16-bit audio of {MIN_RATE} to {MAX_RATE} Hz")
        if not 1 <= start.channels <= _MAX_CHANNELS or self._source is not None:
            raise UserError("expected one piece of speech at a time, of 1 or 2 channels")
        names = ("speaker",) if start.channels == 1 else ("left", "right")
        hub = self._services.hub
        wyoming = SourceInfo("wyoming", names, True, hub.name_session(None, "wyoming"))
        source = NetworkSource(wyoming, self._services.limits.ahead)
        self._running = hub.start(source.info.session, source)
        self._source = source
        self._raw = RawChannels("s16le", start.rate, start.channels)

    async def _push(self, frames: "np.ndarray[Any, np.dtype[np.float32]]") -> None:
        if self._source:
            for channel in range(frames.shape[1]):
                await self._source.push(channel, np.ascontiguousarray(frames[:, channel]))

    async def _answer(self) -> None:
        source, running = self._source, self._running
        self._source = self._running = self._raw = None
        if source is None or running is None:
            return
        with running.broadcast.subscribe() as subscription:
            await source.end()
            spoken = [event async for event in subscription if isinstance(event, events.Utterance)]
        texts = [utterance.text for utterance in spoken if utterance.text]
        context = {"utterances": [json.loads(utterance.to_json()) for utterance in spoken]}
        language = next((u.language for u in spoken if u.language), None)
        transcript = Transcript(" ".join(texts), context=context, language=language)
        await self._write(transcript.event())

    async def _write(self, event: Event) -> None:
        await async_write_event(event, self._writer)
