"""MQTT: reliable delivery of events to subscribers.

`mqtt_sink(settings, url=None, control=None)` gives the sink. An event is written to the `outbox` before the
`publisher` sends it over a `connection`, and removed when the broker has acknowledged it.
"""

from typing import TYPE_CHECKING

from streamer.registry import Option, Plugin, SinkContext

if TYPE_CHECKING:
    from streamer.control import Control, LiveStatus
    from streamer.mqtt.sink import MqttSink
    from streamer.settings.tree import Settings


def mqtt_sink(
    settings: "Settings",
    url: str | None = None,
    control: "Control | None" = None,
    status: "LiveStatus | None" = None,
) -> "MqttSink":
    """Make the sink that publishes events over MQTT.

    Args:
        settings: all settings; the section `mqtt` applies.
        url: broker and prefix, instead of the settings' one.
        control: of the conversation that commands over MQTT control, if the settings permit them.
        status: of the conversation; shows how many events wait.

    Raises:
        UserError: if the URL, a certificate, the password or a setting cannot be used. Entering the sink raises it
            if the broker refuses the client, or another process publishes as the same node.
    """
    from streamer.mqtt.address import broker
    from streamer.mqtt.commands import steer
    from streamer.mqtt.sink import MqttSink

    handler = steer(control) if control else None
    return MqttSink(settings, broker(settings.mqtt, url), handler, status)


def _make(
    *, context: SinkContext, mqtt: str | None, mqtt_required: bool = False
) -> "MqttSink | None":
    settings = context.settings
    if not (mqtt or settings.mqtt.url):
        return None
    if mqtt_required:
        required = settings.mqtt.model_copy(update={"required": True})
        settings = settings.model_copy(update={"mqtt": required})
    return mqtt_sink(settings, mqtt, context.control, context.status)


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--mqtt",
            metavar="URL",
            help="publish events: mqtt[s]:// or ws[s]://[USER@]HOST[:PORT][/PREFIX]",
        ),
        Option(
            "--mqtt-required",
            action="store_true",
            help="exit with code 1 if events are undelivered at the end",
        ),
    ),
    commands=frozenset({"replay", "listen", "serve"}),
)
