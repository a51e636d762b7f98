"""streamer: which emotion each utterance of a conversation expresses, while the talk goes on."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.mqtt.subscriber import subscribe
    from streamer.views import View, view

__version__ = "0.1.0"
__all__ = ["View", "__version__", "subscribe", "view"]


_HOMES = {
    "View": "streamer.views",
    "subscribe": "streamer.mqtt.subscriber",
    "view": "streamer.views",
}
"""Module of each public name."""


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that importing the package stays cheap.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
