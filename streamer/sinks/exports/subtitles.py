"""Subtitles: WebVTT with voice tags, and SRT.

WebVTT: https://www.w3.org/TR/webvtt1/
"""

import re
from html import escape

from streamer.sinks.exports.segments import Conversation, Segment

_NOT_A_CLASS = re.compile(r"[^\w-]+")


def vtt(conversation: Conversation) -> str:
    """Write WebVTT: one cue an utterance, the speaker as voice, the emotion as its class."""
    cues = [
        f"{number}\n{_times(each, '.')}\n{_voice(each)}{escape(each.shown, quote=False)}\n"
        for number, each in enumerate(conversation.segments, 1)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def srt(conversation: Conversation) -> str:
    """Write SRT: the speaker's name stands before the text."""
    cues = [
        f"{number}\n{_times(each, ',')}\n{each.name}: {each.shown}\n"
        for number, each in enumerate(conversation.segments, 1)
    ]
    return "\n".join(cues)


def _voice(segment: Segment) -> str:
    emotion = _NOT_A_CLASS.sub("-", segment.emotion)
    return f"<v{'.' if emotion else ''}{emotion} {escape(segment.name, quote=False)}>"


def _times(segment: Segment, point: str) -> str:
    # A cue must end after it begins.
    end = max(segment.end, segment.start + 0.001)
    return f"{_clock(segment.start, point)} --> {_clock(end, point)}"


def _clock(seconds: float, point: str) -> str:
    total, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{rest:02d}{point}{milliseconds:03d}"
