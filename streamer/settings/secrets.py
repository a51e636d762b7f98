"""Secrets among the settings: the text itself, or the file that holds it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, SecretStr, Tag

from streamer.errors import UserError
from streamer.settings.section import Section

_MAX_BYTES = 65_535


class SecretFile(Section):
    """A file that holds a secret on its only line."""

    file: Path


def _kind(given: Any) -> str:
    return "file" if isinstance(given, dict | SecretFile) else "text"


Secret = Annotated[
    Annotated[SecretStr, Tag("text")] | Annotated[SecretFile, Tag("file")], Discriminator(_kind)
]


def read_secret(secret: SecretStr | SecretFile | None, setting: str) -> str | None:
    """Return a secret's text; None without one.

    Args:
        secret: As the settings give it.
        setting: Its path, for messages.

    Raises:
        UserError: Its file cannot be read, or holds anything but one line.
    """
    if secret is None or isinstance(secret, SecretStr):
        return secret.get_secret_value() if secret else None
    where = f"{setting}.file {secret.file}"
    try:
        with secret.file.expanduser().open("rb") as handle:
            text = handle.read(_MAX_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise UserError(f"{where}: {(error.strerror or 'no access').lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text") from None
    if not text or len(text) > _MAX_BYTES or "\n" in text:
        raise UserError(f"{where}: expected one line with the secret")
    return text
