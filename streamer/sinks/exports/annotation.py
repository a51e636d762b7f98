"""Formats of speech annotation: RTTM, Praat TextGrid, ELAN."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from streamer.sinks.exports.segments import Conversation, Segment, one_line

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def rttm(conversation: Conversation) -> str:
    """Write RTTM (NIST): who speaks when. Names lose their spaces."""
    file = _word(conversation.name)
    return "".join(
        f"SPEAKER {file} 1 {each.start:.3f} {each.end - each.start:.3f} <NA> <NA>"
        f" {_word(each.name)} <NA> <NA>\n"
        for each in conversation.segments
    )


def textgrid(conversation: Conversation) -> str:
    """Write a Praat TextGrid: for each speaker a tier of texts and one of emotions."""
    tiers = [
        (
            f"{speaker}{suffix}",
            [(s.start, s.end, s.emotion if suffix else s.text) for s in segments],
        )
        for speaker, segments in conversation.by_speaker().items()
        for suffix in ("", " emotion")
    ]
    last = max((end for _, intervals in tiers for _, end, _ in intervals), default=0.0)
    end = max(conversation.view.position, last, 0.001)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end:g}",
        "tiers? <exists>" if tiers else "tiers? <absent>",
    ]
    if tiers:
        lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines += _interval_tier(number, name, list(_contiguous(intervals, end)), end)
    return "\n".join(lines) + "\n"


def eaf(conversation: Conversation) -> str:
    """Write ELAN's EAF 3.0: a tier of texts for each speaker, and emotions that depend on it."""
    document = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "streamer",
            "DATE": conversation.view.began.time.isoformat() if conversation.view.began else "",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _XSI,
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    ET.SubElement(document, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    order = ET.SubElement(document, "TIME_ORDER")
    numbers = iter(range(1, 1_000_000_000))
    for speaker, segments in conversation.by_speaker().items():
        name = one_line(speaker)
        texts = _tier(document, name, "utterance", name)
        emotions = _tier(document, f"{name} emotion", "emotion", name, parent=name)
        for segment in segments:
            number = next(numbers)
            _aligned(order, texts, number, segment)
            value = segment.emotion or "uncertain"
            annotation = ET.SubElement(ET.SubElement(emotions, "ANNOTATION"), "REF_ANNOTATION")
            annotation.attrib |= {"ANNOTATION_ID": f"e{number}", "ANNOTATION_REF": f"a{number}"}
            ET.SubElement(annotation, "ANNOTATION_VALUE").text = value
    for name, aligned in (("utterance", "true"), ("emotion", "false")):
        kind = ET.SubElement(document, "LINGUISTIC_TYPE")
        kind.attrib |= {"LINGUISTIC_TYPE_ID": name, "TIME_ALIGNABLE": aligned}
        kind.set("GRAPHIC_REFERENCES", "false")
        if name == "emotion":
            kind.set("CONSTRAINTS", "Symbolic_Association")
    ET.SubElement(
        document,
        "CONSTRAINT",
        {
            "STEREOTYPE": "Symbolic_Association",
            "DESCRIPTION": "1-1 association with a parent annotation",
        },
    )
    ET.indent(document)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(document, encoding="unicode")}\n'


def _tier(
    document: ET.Element, name: str, kind: str, speaker: str, parent: str | None = None
) -> ET.Element:
    tier = ET.SubElement(
        document, "TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": kind, "PARTICIPANT": speaker}
    )
    if parent is not None:
        tier.set("PARENT_REF", parent)
    return tier


def _aligned(order: ET.Element, tier: ET.Element, number: int, segment: Segment) -> None:
    slots = f"ts{2 * number - 1}", f"ts{2 * number}"
    for slot, seconds in zip(slots, (segment.start, segment.end), strict=True):
        ET.SubElement(
            order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(round(seconds * 1000))}
        )
    annotation = ET.SubElement(ET.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
    annotation.attrib |= {
        "ANNOTATION_ID": f"a{number}",
        "TIME_SLOT_REF1": slots[0],
        "TIME_SLOT_REF2": slots[1],
    }
    ET.SubElement(annotation, "ANNOTATION_VALUE").text = segment.text


def _contiguous(
    intervals: list[tuple[float, float, str]], end: float
) -> Iterator[tuple[float, float, str]]:
    """Fill what lies between the intervals, as Praat wants it."""
    at = 0.0
    for begin, until, text in intervals:
        if begin > at:
            yield at, begin, ""
        yield begin, until, text
        at = until
    if end > at:
        yield at, end, ""


def _interval_tier(
    number: int, name: str, intervals: list[tuple[float, float, str]], end: float
) -> list[str]:
    lines = [
        f"    item [{number}]:",
        '        class = "IntervalTier"',
        f'        name = "{_quoted(name)}"',
        "        xmin = 0",
        f"        xmax = {end:g}",
        f"        intervals: size = {len(intervals)}",
    ]
    for index, (begin, until, text) in enumerate(intervals, 1):
        lines += [
            f"        intervals [{index}]:",
            f"            xmin = {round(begin, 3)}",
            f"            xmax = {round(until, 3)}",
            f'            text = "{_quoted(text)}"',
        ]
    return lines


def _quoted(text: str) -> str:
    return text.replace('"', '""')


def _word(name: str) -> str:
    return re.sub(r"\s+", "_", name.strip()) or "_"
