"""Access control: a shared token, and the origins of web pages."""

import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamer.errors import UserError
from streamer.settings.secrets import read_secret

if TYPE_CHECKING:
    from starlette.datastructures import Headers

    from streamer.web.settings import Web

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_MIN_TOKEN, _MAX_TOKEN = 16, 1024
"""Characters of a token."""


class ForbiddenError(Exception):
    """A client may not connect."""


class Access:
    """Decide who may connect.

    Args:
        token: the shared secret; None: everybody who reaches the address.
        origins: web origins allowed beside the server's own, such as https://dashboard.example.
    """

    def __init__(self, token: str | None, origins: Collection[str] = ()) -> None:
        self._token = token
        self._origins = frozenset(origins)

    @property
    def needs_token(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    def allows_token(self, given: object) -> bool:
        """Return whether a token is the right one, compared in constant time."""
        if self._token is None:
            return True
        if not isinstance(given, str):
            return False
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())

    def allows_headers(self, headers: "Headers") -> bool:
        """Return whether `Authorization: Bearer TOKEN` (or `Token TOKEN`) carries the right token."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        return self.allows_token(given.strip() if kind.lower() in ("bearer", "token") else None)

    def require(self, headers: "Headers", token: object = None) -> None:
        """Let nobody pass without the token, in the header or the first message.

        Raises:
            ForbiddenError: if it is missing or wrong.
        """
        if not (self.allows_headers(headers) or self.allows_token(token)):
            raise ForbiddenError("wrong or missing token")

    def allows_origin(self, headers: "Headers") -> bool:
        """Return whether a browser's page may connect; programs send no Origin.

        Without a token only pages of this machine's own names may: any page on the web can have its name point here.
        """
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return True
        try:
            page = urlsplit(origin)
            own = page.hostname in _LOOPBACK
        except ValueError:
            return False
        return page.netloc == headers.get("host", "") and (own or self.needs_token)


def read_token(web: "Web") -> str | None:
    """Read the shared token from the settings, or from the file that they name.

    Raises:
        UserError: if the file cannot be read, or the token is too short to be a secret.
    """
    token = read_secret(web.token, "web.token")
    if token is not None and not _MIN_TOKEN <= len(token) <= _MAX_TOKEN:
        raise UserError(f"web.token: a token has {_MIN_TOKEN} to {_MAX_TOKEN} characters")
    return token
