"""Text of strangers: names of files and devices, labels, messages of brokers."""

import re
import unicodedata

_UNSAFE_IN_FILE = re.compile(r"[^\w.@=-]", re.ASCII)


def well_formed(text: str) -> str:
    """Replace what UTF-8 cannot express, as in the name of a file that is not UTF-8."""
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def printable(text: str) -> str:
    """Replace what steers a terminal: control characters, the start of escape sequences, turns of the direction."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if _steers(character) else character for character in text)


def file_name(text: str) -> str:
    """Return a name of a file in ASCII, made of a session's id: never hidden, never a path."""
    return _UNSAFE_IN_FILE.sub("_", text)[:100].lstrip(".") or "session"


def _steers(character: str) -> bool:
    if character in "\u200c\u200d":  # joiners, of Persian words and of emoji
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
