"""Errors of a connection to a broker: temporary ones, and those that need a change of the configuration."""

import ssl

FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""

UNSUPPORTED_PROTOCOL, NOT_AUTHORIZED, TAKEN_OVER, QUOTA_EXCEEDED = 0x84, 0x87, 0x8E, 0x97
RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED = 0x9A, 0x9B

TEMPORARY = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA1})
"""Failures after which a later attempt may succeed: the broker is busy, shutting down, over a quota, ..."""


class BrokerError(Exception):
    """There is no connection; the message is the reason."""


class UnreachableError(BrokerError):
    """The broker is unreachable or closed the connection; a later attempt may succeed."""


class RefusedError(BrokerError):
    """The broker refuses this client; the configuration of one of them must change."""


class OldBrokerError(RefusedError):
    """The broker does not support this version of MQTT."""


class RetainUnsupportedError(RefusedError):
    """The broker does not retain messages."""


class QosUnsupportedError(RefusedError):
    """The broker supports QoS 0 only."""


class ClosedError(UnreachableError):
    """The broker closed the connection without a CONNACK, as some do for an unknown version of MQTT."""


def refusal(code: int, name: str) -> BrokerError:
    """Make the error of a reason code."""
    if code == UNSUPPORTED_PROTOCOL:
        return OldBrokerError("the broker does not support this version of MQTT")
    if code == RETAIN_NOT_SUPPORTED:
        return RetainUnsupportedError("the broker does not retain messages (mqtt.retain: false)")
    if code == QOS_NOT_SUPPORTED:
        return QosUnsupportedError("the broker supports QoS 0 only (mqtt.qos: 0)")
    return (UnreachableError if code in TEMPORARY else RefusedError)(name)


def explain(error: OSError) -> str:
    """Describe an operating system's or TLS error in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        hint = " (is TLS spoken there?)" if "wrong version" in reason else ""
        return f"TLS: {reason}{hint}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror or str(error)).lower()
