"""Alerts as runs of a program."""

import asyncio
import os
from collections.abc import Sequence

from streamer.events import Alert
from streamer.registry import Plugin, SinkContext
from streamer.sinks.alerting import AlertSink


class ExecuteSink(AlertSink):
    """Runs a program for each alert, without a shell.

    The event is its standard input, as JSON; `STREAMER_ALERT_RULE`, `STREAMER_ALERT_SPEAKER` and
    `STREAMER_SESSION` are in its environment.

    Args:
        command: program and arguments.
        timeout: seconds after which it is stopped.
    """

    def __init__(self, command: Sequence[str], *, timeout: float = 30.0) -> None:
        super().__init__(max_wait=timeout + 1.0)
        self._command = list(command)
        self._timeout = timeout

    async def deliver(self, alert: Alert) -> str:
        """Run the program once."""
        environment = os.environ | {
            "STREAMER_ALERT_RULE": alert.rule,
            "STREAMER_ALERT_SPEAKER": alert.speaker or "",
            "STREAMER_SESSION": alert.session,
        }
        name = self._command[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=environment,
            )
        except (OSError, ValueError) as error:
            return f"{name}: {getattr(error, 'strerror', None) or error}".lower()
        try:
            body = alert.to_json().encode() + b"\n"
            async with asyncio.timeout(self._timeout):
                await process.communicate(body)
        except TimeoutError:
            return f"{name} ran for over {self._timeout:g} s and was stopped"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return f"{name} ended with exit code {process.returncode}" if process.returncode else ""


def _make(*, context: SinkContext) -> ExecuteSink | None:
    alerts = context.settings.alerts
    return ExecuteSink(alerts.exec) if alerts.exec else None


PLUGIN = Plugin(_make)
