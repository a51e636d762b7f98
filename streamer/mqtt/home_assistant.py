"""Home Assistant discovery: entities for speakers without any configuration there.

Device discovery: https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from streamer import __version__
from streamer.mqtt.topics import Topics, segment

PREFIX = "homeassistant"
"""Where Home Assistant looks for discovery, unless that is set otherwise there."""
BIRTH = "online"
"""Payload that Home Assistant publishes to its status topic when it has started."""


STATUS_TOPIC = f"{PREFIX}/status"
"""Topic on which Home Assistant announces its start."""


def discovery_topic(topics: Topics) -> str:
    """Return the topic on which a node announces itself."""
    return f"{PREFIX}/device/{device_id(topics)}/config"


def device_id(topics: Topics) -> str:
    """Return the node's id at Home Assistant: letters, digits, `_` and `-` only."""
    return f"streamer_{_id(topics.root)}"


def discovery(
    topics: Topics,
    channels: Iterable[str],
    labels: Sequence[str],
    model: str | None,
    rules: Iterable[str] = (),
) -> str:
    """Make the announcement of a node, its speakers and the rules of its alerts, as JSON."""
    components: dict[str, Any] = {}
    for channel in channels:
        for name, component in _speaker(topics, channel, labels).items():
            components[f"{_id(segment(channel))}_{name}"] = component
    for rule in rules:
        for name, component in _alert(topics, rule).items():
            components[f"alert_{_id(segment(rule))}_{name}"] = component
    components |= _diagnostics(topics)
    device = device_id(topics)
    for name, component in components.items():
        component["unique_id"] = f"{device}_{name}"
    return json.dumps(
        {
            "dev": {
                "ids": [device],
                "name": f"streamer {topics.node}",
                "mdl": model or "streamer",
                "sw": __version__,
            },
            "o": {"name": "streamer", "sw": __version__},
            "avty": [
                {
                    "t": topics.availability,
                    # A template, since "stopped" means unavailable too.
                    "val_tpl": "{{ 'online' if value == 'online' else 'offline' }}",
                }
            ],
            "qos": 1,
            "cmps": components,
        }
    )


def _speaker(topics: Topics, channel: str, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    shared = {"state_topic": topics.state(channel)}
    enum = {"p": "sensor", "device_class": "enum", "options": list(labels)}
    return {
        "emotion": shared
        | enum
        | {
            "name": f"{channel} emotion",
            "icon": "mdi:emoticon-outline",
            "value_template": "{{ value_json.emotion }}",
            "json_attributes_topic": topics.state(channel),
        },
        "talk_share": shared
        | {
            "p": "sensor",
            "name": f"{channel} talk share",
            "icon": "mdi:account-voice",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": "{{ (value_json.talk_share * 100) | round(0) "
            "if value_json.talk_share is not none else none }}",
        },
        "confidence": shared
        | {
            "p": "sensor",
            "name": f"{channel} confidence",
            "icon": "mdi:gauge",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "value_template": "{{ (value_json.confidence * 100) | round(0) "
            "if value_json.confidence is not none else none }}",
        },
        "mood": shared
        | enum
        | {
            "name": f"{channel} mood",
            "icon": "mdi:chart-line",
            "value_template": "{{ value_json.mood.emotion if value_json.mood else none }}",
        },
        "speaking": shared
        | {
            "p": "binary_sensor",
            "name": f"{channel} speaking",
            "device_class": "sound",
            "value_template": "{{ 'ON' if value_json.speaking else 'OFF' }}",
        },
    }


def _alert(topics: Topics, rule: str) -> dict[str, dict[str, Any]]:
    """Return a rule's entities: whether it is active, and each time that it is raised or over."""
    name = json.dumps(rule)  # also a string of Jinja
    kind = "{'event_type': 'raised' if value_json.active else 'over'}"
    return {
        "problem": {
            "p": "binary_sensor",
            "name": rule,
            "device_class": "problem",
            "state_topic": topics.diagnostics,
            "value_template": f"{{{{ 'ON' if {name} in value_json.alerts else 'OFF' }}}}",
        },
        "event": {
            "p": "event",
            "name": f"{rule} raised",
            "icon": "mdi:alert-outline",
            "event_types": ["raised", "over"],
            "state_topic": topics.events("alert"),
            "value_template": f"{{{{ dict(value_json, **{kind}) | to_json"
            f" if value_json.rule == {name} else '' }}}}",
        },
    }


def _diagnostics(topics: Topics) -> dict[str, dict[str, Any]]:
    shared = {"p": "sensor", "state_topic": topics.diagnostics, "entity_category": "diagnostic"}
    return {
        "lag": shared
        | {
            "name": "Lag",
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "state_class": "measurement",
            "value_template": "{{ value_json.lag_ms }}",
        },
        "lost_audio": shared
        | {
            "name": "Lost audio",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "state_class": "total_increasing",
            "value_template": "{{ value_json.lost_audio }}",
        },
    }


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)
