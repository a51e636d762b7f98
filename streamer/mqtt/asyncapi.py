"""Describe the topics as an AsyncAPI 3 document, generated from the code that uses them."""

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from streamer import __version__, events
from streamer.mqtt.commands import Command, Reply
from streamer.mqtt.presence import OFFLINE, ONLINE, STOPPED, Instance
from streamer.mqtt.state import NodeState, SpeakerState
from streamer.mqtt.topics import Topics

_JSON, _TEXT = "application/json", "text/plain"
_SEND, _RECEIVE = "send", "receive"
_AFTER = {
    "type": ["integer", "null"],
    "description": "seq of the event before this one, if those between were left out on purpose "
    "(mqtt.types); null if there is none",
}


def asyncapi() -> dict[str, Any]:
    """Describe what streamer publishes and reads over MQTT."""
    kinds = get_args(get_args(events.Event)[0])
    payloads: list[type[BaseModel]] = [*kinds, SpeakerState, NodeState, Instance, Command, Reply]
    references, schemas = models_json_schema(
        [(kind, "serialization") for kind in payloads],
        ref_template="#/components/schemas/{model}",
    )
    definitions = schemas["$defs"]
    for kind in kinds:
        definitions[kind.__name__]["properties"]["after"] = _AFTER

    def schema(kind: type[BaseModel]) -> dict[str, Any]:
        return references[kind, "serialization"]

    topics = Topics("{prefix}", "{node}")
    root = topics.root
    document = _Document()
    for kind in kinds:
        type_ = kind.model_fields["type"].default
        document.add(type_, f"{root}/{{session}}/{type_}", kind.__doc__ or "", _JSON, schema(kind))
    document.add(
        "state",
        f"{root}/state/{{channel}}",
        "The latest state of a speaker.",
        _JSON,
        schema(SpeakerState),
        retain=True,
    )
    document.add(
        "diagnostics",
        topics.diagnostics,
        "Session, lag, lost audio and counters of the node.",
        _JSON,
        schema(NodeState),
        retain=True,
    )
    document.add(
        "availability",
        topics.availability,
        "Whether the node is online: offline is its last will, stopped its farewell.",
        _TEXT,
        {"type": "string", "enum": [ONLINE, OFFLINE, STOPPED]},
        retain=True,
    )
    document.add(
        "instance",
        topics.instance,
        "The process that publishes as the node, or claims to; empty after a farewell.",
        _JSON,
        schema(Instance),
        retain=True,
    )
    document.add(
        "command",
        topics.command,
        "Executed if mqtt.commands is set; never retained.",
        _JSON,
        schema(Command),
        action=_RECEIVE,
    )
    document.add("reply", topics.reply, "The result of a command.", _JSON, schema(Reply))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streamer",
            "version": __version__,
            "description": "Which emotion each utterance of a conversation expresses, as MQTT "
            "messages with QoS 1. Events arrive at least once: a repeat has the session and seq of "
            f"one that came before. Schema of the events: {events.SCHEMA}.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": document.channels,
        "operations": document.operations,
        "components": {"schemas": definitions, "messages": document.messages},
    }


class _Document:
    """Collects channels, their messages and operations."""

    _PARAMETERS = {  # noqa: RUF012 - a constant
        "prefix": "The path of the broker's URL; streamer by default.",
        "node": "The publisher's name.",
        "session": "The conversation's id, made safe for a topic.",
        "channel": "The speaker's channel, made safe for a topic.",
    }

    def __init__(self) -> None:
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.messages: dict[str, Any] = {}

    def add(
        self,
        name: str,
        address: str,
        summary: str,
        content: str,
        payload: dict[str, Any],
        *,
        retain: bool = False,
        action: str = _SEND,
    ) -> None:
        self.messages[name] = {"summary": summary, "contentType": content, "payload": payload}
        self.channels[name] = {
            "address": address,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "parameters": {
                parameter: {"description": text}
                for parameter, text in self._PARAMETERS.items()
                if f"{{{parameter}}}" in address
            },
        }
        self.operations[name] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
        }
