"""Why there is no connection to a broker: what may pass, and what somebody has to change."""

import ssl

FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""

UNSUPPORTED_PROTOCOL, NOT_AUTHORIZED, TAKEN_OVER, QUOTA_EXCEEDED = 0x84, 0x87, 0x8E, 0x97

PASSING = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA1})
"""Failures that trying again later may cure: the broker is busy, shutting down, over a quota, ..."""


class BrokerError(Exception):
    """There is no connection; the message is the reason."""


class UnreachableError(BrokerError):
    """The broker is away, or has gone; it may come back."""


class RefusedError(BrokerError):
    """The broker does not want us as we are; somebody has to change something."""


class OldBrokerError(RefusedError):
    """The broker does not speak this version of MQTT."""


class ClosedError(UnreachableError):
    """The broker closed the connection without an answer, as some do for a version they do not know."""


def refusal(code: int, name: str) -> BrokerError:
    """What a reason code means for us."""
    if code == UNSUPPORTED_PROTOCOL:
        return OldBrokerError("the broker does not speak this version of MQTT")
    return (UnreachableError if code in PASSING else RefusedError)(name)


def explain(error: OSError) -> str:
    """The reason in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        hint = " (is TLS spoken there?)" if "wrong version" in reason else ""
        return f"TLS: {reason}{hint}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror or str(error)).lower()
