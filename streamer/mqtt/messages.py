"""Messages and their MQTT 5 properties, in the forms of paho-mqtt."""

from dataclasses import dataclass
from types import MappingProxyType

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.mqtt.problems import FAILURE


@dataclass(frozen=True, slots=True)
class Message:
    """A received message."""

    topic: str
    payload: bytes
    retained: bool
    """It was published before the subscription."""
    number: int
    qos: int


@dataclass(frozen=True, slots=True)
class Will:
    """A message that the broker publishes when the connection breaks."""

    topic: str
    payload: str
    retain: bool = True
    qos: int = 1


@dataclass(frozen=True, slots=True)
class Persistence:
    """Time for which the broker keeps the subscriptions of an absent client, and messages for it."""

    seconds: float
    """For MQTT 5."""
    unlimited: bool
    """For MQTT 3.1.1, which only knows for ever or not at all."""


def publish_properties(schema: str | None, expiry: float | None) -> Properties:
    """Make the MQTT 5 properties of messages.

    Args:
        schema: version of the events, a user property; None: not JSON.
        expiry: seconds that the broker keeps a message for absent subscribers; None: for ever.
    """
    properties = _PackedProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if schema is not None:
        properties.ContentType = "application/json"
        properties.PayloadFormatIndicator = 1
        properties.UserProperty = ("schema", schema)
    if expiry is not None:
        properties.MessageExpiryInterval = round(expiry)
    return properties


class _PackedProperties(Properties):
    """Properties shared by many messages, packed once: packing took an eighth of the CPU time."""

    def pack(self) -> bytes:
        packed = self.__dict__.get("packed")
        if packed is None:
            packed = self.__dict__["packed"] = super().pack()  # type: ignore[no-untyped-call]
        return bytes(packed)


def _puback_names() -> MappingProxyType[int, dict[str, list[int]]]:
    """Extend the library's reason codes: any failure may stand in a PUBACK.

    Brokers refuse messages with codes that the standard knows in other packets only (mosquitto: "packet too
    large"). Without a name there, the library takes such a refusal for a protocol error.
    """
    names = {code: dict(entries) for code, entries in ReasonCode.names.items()}
    for code, entries in names.items():
        known = any(PacketTypes.PUBACK in packets for packets in entries.values())
        if code >= FAILURE and not known:
            name = next(iter(entries))
            entries[name] = [*entries[name], PacketTypes.PUBACK]
    return MappingProxyType(names)


ReasonCode.names = _puback_names()
