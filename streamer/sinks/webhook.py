"""Alerts as HTTP POST requests, signed."""

import asyncio
import hashlib
import hmac
import random
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from streamer import __version__
from streamer.events import Alert
from streamer.registry import Plugin, SinkContext
from streamer.settings.secrets import read_secret
from streamer.sinks.alerting import AlertSink

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds between attempts: doubled each time, with up to a half added by chance."""
_MARGIN = 1.0
"""Seconds for the last answer at the end of a conversation."""
_RETRIED = frozenset({408, 425, 429, *range(500, 600)})
"""Answers after which a later attempt may succeed."""


class WebhookSink(AlertSink):
    """Posts each alert as JSON.

    With a secret, `X-Streamer-Signature` is `sha256=` and the hexadecimal HMAC-SHA-256 of
    `X-Streamer-Timestamp`, a full stop and the body. `X-Streamer-Delivery` is the same for every attempt.

    Args:
        url: http or https; a redirect is not followed.
        secret: the key of the signature.
        timeout: seconds that an attempt may take.
        attempts: for each alert.
        pause: seconds after the first attempt; twice as long after each further one.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        timeout: float = 10.0,
        attempts: int = 5,
        pause: float = _FIRST_PAUSE,
    ) -> None:
        super().__init__(max_wait=timeout + _MARGIN)
        self._url, self._secret = url, secret
        self._timeout, self._attempts, self._pause = timeout, attempts, pause
        self._open: Callable[..., Any] = urllib.request.build_opener(_NoRedirect).open

    async def deliver(self, alert: Alert) -> str:
        """Post an alert, again after a while if the receiver cannot take it now."""
        body = alert.to_json().encode()
        problem = ""
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._wait(attempt))
            problem, again = await asyncio.to_thread(self._post, alert, body)
            if not problem or not again:
                break
        return problem

    def _post(self, alert: Alert, body: bytes) -> tuple[str, bool]:
        """Return what went wrong, and whether a later attempt may succeed."""
        host = urlsplit(self._url).hostname  # the rest of the URL may hold a secret
        try:
            with self._open(self._request(alert, body), timeout=self._timeout) as answer:
                answer.read(1024)
        except urllib.error.HTTPError as error:
            error.close()
            return f"webhook {host} answered {error.code}", error.code in _RETRIED
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            return f"webhook {host}: {str(reason) or type(reason).__name__}", True
        return "", False

    def _request(self, alert: Alert, body: bytes) -> urllib.request.Request:
        timestamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"streamer/{__version__}",
            "X-Streamer-Delivery": f"{alert.session}/{alert.seq}",
            "X-Streamer-Timestamp": timestamp,
        }
        if self._secret:
            headers["X-Streamer-Signature"] = signature(self._secret, timestamp, body)
        return urllib.request.Request(self._url, data=body, headers=headers)  # noqa: S310 - http(s), by the settings

    def _wait(self, attempt: int) -> float:
        pause: float = min(_LONGEST_PAUSE, self._pause * 2 ** (attempt - 1))
        return pause * random.uniform(1.0, 1.5)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what `X-Streamer-Signature` must be."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects alone: a signed body is for its receiver."""

    def redirect_request(
        self,
        req: urllib.request.Request,  # noqa: ARG002
        fp: Any,  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: Any,  # noqa: ARG002
        newurl: str,  # noqa: ARG002
    ) -> None:
        return None


def _make(*, context: SinkContext) -> WebhookSink | None:
    alerts = context.settings.alerts
    if alerts.webhook is None:
        return None
    secret = read_secret(alerts.webhook_secret, "alerts.webhook_secret")
    return WebhookSink(
        alerts.webhook,
        secret=secret,
    )


PLUGIN = Plugin(_make)
