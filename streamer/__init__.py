"""streamer: which emotion each utterance of a conversation expresses, while the talk goes on.

The public names are those of `__all__`; they are imported when first used, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer import events
    from streamer.api import Engine, analyze, listen
    from streamer.control import Control, LiveStatus
    from streamer.conversation.pipeline import Outcome
    from streamer.errors import SourceError, StreamerError, UserError
    from streamer.mqtt.subscriber import subscribe
    from streamer.settings.load import load as load_settings
    from streamer.settings.tree import Settings
    from streamer.sinks import Sink
    from streamer.sources import AudioSource
    from streamer.views import View, view

__version__ = "0.1.0"
__all__ = [
    "AudioSource",
    "Control",
    "Engine",
    "LiveStatus",
    "Outcome",
    "Settings",
    "Sink",
    "SourceError",
    "StreamerError",
    "UserError",
    "View",
    "__version__",
    "analyze",
    "events",
    "listen",
    "load_settings",
    "subscribe",
    "view",
]

_PLACES = {
    "AudioSource": "streamer.sources",
    "Control": "streamer.control",
    "Engine": "streamer.api",
    "LiveStatus": "streamer.control",
    "Outcome": "streamer.conversation.pipeline",
    "Settings": "streamer.settings.tree",
    "Sink": "streamer.sinks",
    "SourceError": "streamer.errors",
    "StreamerError": "streamer.errors",
    "UserError": "streamer.errors",
    "View": "streamer.views",
    "analyze": "streamer.api",
    "events": "",
    "listen": "streamer.api",
    "load_settings": "streamer.settings.load:load",
    "subscribe": "streamer.mqtt.subscriber",
    "view": "streamer.views",
}
"""Name -> module, with ":name" where it has another one there; "" for a module of its own."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _PLACES[name]:
        return import_module(f"streamer.{name}")
    place, _, other = _PLACES[name].partition(":")
    try:
        module = import_module(place)
    except ModuleNotFoundError as error:
        from streamer.registry import missing

        if (error.name or "").startswith("streamer"):
            raise
        raise ImportError(f"streamer.{name} {missing(error)}", name=error.name) from error
    return getattr(module, other or name)


def __dir__() -> list[str]:
    return __all__
