"""W3C EmotionML 1.0: https://www.w3.org/TR/emotionml/."""

import re
from urllib.parse import quote
from xml.etree import ElementTree as ET

from streamer.sinks.exports.segments import Conversation, Segment, one_line

NAMESPACE = "http://www.w3.org/2009/10/emotionml"
DIMENSIONS = ("valence", "arousal")


def emotionml(conversation: Conversation) -> str:
    """Write one `emotion` for each judged utterance: all labels with their confidence.

    Dimensions are scaled from [-1, 1] to EmotionML's [0, 1]. Times are milliseconds from the
    conversation's begin; the reference holds them as a media fragment, too.
    """
    root = ET.Element("emotionml", {"xmlns": NAMESPACE, "version": "1.0"})
    root.set("category-set", "#labels")
    _vocabulary(root, "category", "labels", [_token(label) for label in conversation.labels])
    if any(each.event.dimensions for each in conversation.segments):
        root.set("dimension-set", "#dimensions")
        _vocabulary(root, "dimension", "dimensions", DIMENSIONS)
    for number, each in enumerate(conversation.segments, 1):
        if each.event.probabilities:
            root.append(_emotion(conversation, number, each))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _emotion(conversation: Conversation, number: int, segment: Segment) -> ET.Element:
    event = segment.event
    through = " ".join({"audio": "voice"}.get(each, each) for each in event.modalities)
    emotion = ET.Element("emotion", {"id": f"u{number}"})
    if through:
        emotion.set("expressed-through", through)
    emotion.set("time-ref-uri", quote(conversation.source or conversation.session))
    emotion.set("offset-to-start", str(round(segment.start * 1000)))
    emotion.set("duration", str(round((segment.end - segment.start) * 1000)))
    for label in conversation.labels:
        confidence = event.probabilities.get(label)
        if confidence is not None:
            ET.SubElement(
                emotion, "category", {"name": _token(label), "confidence": f"{confidence:.4f}"}
            )
    if event.dimensions:
        for name in DIMENSIONS:
            value = (getattr(event.dimensions, name) + 1) / 2
            ET.SubElement(emotion, "dimension", {"name": name, "value": f"{value:.4f}"})
    fragment = f"#t={segment.start:.3f},{segment.end:.3f}"
    ET.SubElement(
        emotion,
        "reference",
        {
            "uri": quote(conversation.source or conversation.session) + fragment,
            "role": "expressedBy",
        },
    )
    info = ET.SubElement(emotion, "info")
    detail = ET.SubElement(info, "utterance", {"xmlns": "urn:streamer:1", "id": event.utterance})
    detail.attrib |= {
        "speaker": one_line(segment.speaker),
        "abstained": str(event.abstained).lower(),
    }
    detail.text = segment.text
    return emotion


def _vocabulary(
    root: ET.Element, kind: str, identifier: str, names: "list[str] | tuple[str, ...]"
) -> None:
    vocabulary = ET.SubElement(root, "vocabulary", {"type": kind, "id": identifier})
    for name in names:
        ET.SubElement(vocabulary, "item", {"name": name})


def _token(label: str) -> str:
    """Return a label as an XML name token."""
    return re.sub(r"[^\w.-]", "_", label) or "_"
