"""Figures and alerts of a conversation, from its own events."""

from collections.abc import Sequence
from typing import Any

from streamer import events
from streamer.conversation.alerts import AlertRules
from streamer.settings.alerts import Rule
from streamer.views import View


class Statistics:
    """Follows the events of a conversation on their way out.

    Only what is on the wire counts, so that the figures of a stored file are the same, and what privacy
    withholds stays out of them.

    Args:
        rules: of the alerts.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.view = View()
        self._rules = AlertRules(rules)

    def take(self, event: events.Event) -> list[dict[str, Any]]:
        """Follow an event; return the fields of the alerts that it raises or ends."""
        self.view.take(event)
        return [alert.fields() for alert in self._rules.take(event)]

    def advance(self, position: float) -> list[dict[str, Any]]:
        """Return the fields of the alerts that are due because the audio has come this far, in seconds."""
        self.view.reach(position)
        return [alert.fields() for alert in self._rules.advance(position)]

    def summary(self) -> dict[str, Any]:
        """Return the fields of a `summary` event."""
        return dict(self.view.figures())
