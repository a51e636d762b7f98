"""streamer: which emotion each utterance of a conversation expresses, while the talk goes on."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamer.mqtt.subscriber import subscribe

__version__ = "0.1.0"
__all__ = ["__version__", "subscribe"]


def __getattr__(name: str) -> Any:
    # Loaded when asked for, so that importing the package stays cheap.
    if name == "subscribe":
        from streamer.mqtt.subscriber import subscribe

        return subscribe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
