"""Drive a paho-mqtt client from the asyncio event loop, through its documented socket callbacks."""

import asyncio
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho

MISC_INTERVAL = 1.0
"""Seconds between two keep-alive checks."""


class EventLoopDriver:
    """Reads and writes the client's socket whenever the event loop says that it is ready.

    Args:
        client: the client; `connect` may be called on another thread.
        failed: called in the event loop with an exception that the library raised; the connection is unusable.
    """

    def __init__(self, client: paho.Client, failed: Callable[[Exception], None]) -> None:
        self._client = client
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor = -1
        self._closed = False
        self._callbacks = 0
        client.on_socket_open = self._on_open
        client.on_socket_close = self._on_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write

    def packet_handled(self) -> None:
        """Note that a packet has been handled: TLS or WebSocket buffers may hold the next one."""
        self._callbacks += 1

    def close(self) -> None:
        """Close the socket without a handshake and leave the event loop."""
        self._closed = True
        self._stop()
        socket = self._client.socket()
        if socket is not None:
            socket.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._descriptor = -1

    def _start(self, socket: Any) -> None:
        if self._closed:
            socket.close()
            return
        if socket.fileno() < 0:
            return
        self._descriptor = socket.fileno()
        self._loop.add_reader(self._descriptor, self._read)
        self._misc()

    def _read(self) -> None:
        before = self._callbacks
        self._guard(self._client.loop_read)
        if self._callbacks != before and self._descriptor >= 0:
            self._loop.call_soon(self._read)

    def _write(self) -> None:
        self._guard(self._client.loop_write)

    def _misc(self) -> None:
        if self._guard(self._client.loop_misc) == paho.MQTT_ERR_SUCCESS:
            self._timer = self._loop.call_later(MISC_INTERVAL, self._misc)

    def _guard(self, step: Callable[[], int]) -> int:
        if self._closed:
            return paho.MQTT_ERR_NO_CONN
        try:
            return step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is broken
            self._stop()
            self._failed(error)
            return paho.MQTT_ERR_UNKNOWN

    # Called by the library; the first three by the thread that connects as well.

    def _on_open(self, _client: Any, _data: Any, socket: Any) -> None:
        self._loop.call_soon_threadsafe(self._start, socket)

    def _on_register_write(self, _client: Any, _data: Any, socket: Any) -> None:
        def register() -> None:
            # The descriptor may have been closed, and reused, in the meantime.
            if 0 <= socket.fileno() == self._descriptor:
                self._loop.add_writer(self._descriptor, self._write)

        self._loop.call_soon_threadsafe(register)

    def _on_unregister_write(self, _client: Any, _data: Any, socket: Any) -> None:
        def unregister() -> None:
            if 0 <= socket.fileno() == self._descriptor and not self._client.want_write():
                self._loop.remove_writer(self._descriptor)

        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(unregister)

    def _on_close(self, _client: Any, _data: Any, _socket: Any) -> None:
        # Before the socket is closed: its descriptor must not stay in the selector.
        self._stop()
