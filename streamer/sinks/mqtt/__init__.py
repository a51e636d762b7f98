"""MQTT: events that subscribers can rely on.

`mqtt_sink(settings, url=None, handler=None)` gives the sink. An event is written to the `outbox` before the
`publisher` sends it over a `connection`, and removed when the broker has acknowledged it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.config import Settings
    from streamer.sinks.mqtt.commands import Handler
    from streamer.sinks.mqtt.sink import MqttSink


def mqtt_sink(
    settings: "Settings", url: str | None = None, handler: "Handler | None" = None
) -> "MqttSink":
    """The sink that publishes events over MQTT.

    Args:
        settings: all settings; the section `mqtt` is about this.
        url: broker and prefix, instead of the one in the settings.
        handler: obeys the commands that come over MQTT, if the settings let them.

    Raises:
        UserError: if the URL, a certificate, the password or a setting cannot be used. Entering the sink raises it
            if the broker refuses us, or another process publishes as the same node.
    """
    from streamer.sinks.mqtt.address import broker
    from streamer.sinks.mqtt.sink import MqttSink

    return MqttSink(settings, broker(settings.mqtt, url), handler)
