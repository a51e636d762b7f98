"""Amazon Transcribe Call Analytics' post-call output, Version 1.1.0.

https://docs.aws.amazon.com/transcribe/latest/dg/tca-output-batch.html. Left out is what has no
counterpart: issues, summaries, and `LoudnessScores` (Amazon's scale is not documented).
"""

import json
from collections.abc import Sequence
from typing import Any

from streamer import events
from streamer.sinks.exports.segments import Conversation, Segment
from streamer.turn_taking import TurnTaking

VERSION = "1.1.0"
_ROLES = ("AGENT", "CUSTOMER")
_POSITIVE = 0.3
"""Valence above which a sentiment is positive, and below whose negative it is negative."""


def aws(conversation: Conversation) -> str:
    """Write the JSON document."""
    roles = participants(sorted(conversation.view.speakers))
    document = {
        "JobName": conversation.session,
        "JobStatus": "COMPLETED",
        "Channel": "VOICE",
        "LanguageCode": _language(conversation.segments),
        "Version": VERSION,
        "Participants": [
            {"ParticipantId": speaker, "ParticipantRole": role} for speaker, role in roles.items()
        ],
        "Transcript": [_turn(each, roles) for each in conversation.segments],
        "ConversationCharacteristics": _characteristics(conversation, roles),
        "Categories": _categories(conversation),
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def participants(speakers: Sequence[str]) -> dict[str, str]:
    """Return each speaker's role: by the name, else in order; further ones keep their names."""
    named = {name: name.upper() for name in speakers if name.upper() in _ROLES}
    free = [role for role in _ROLES if role not in named.values()]
    roles = {}
    for name in speakers:
        roles[name] = named.get(name) or (free.pop(0) if free else name.upper())
    return roles


def _turn(segment: Segment, roles: dict[str, str]) -> dict[str, Any]:
    words = segment.event.words or []
    return {
        "Id": segment.event.utterance,
        "ParticipantId": segment.speaker,
        "ParticipantRole": roles[segment.speaker],
        "BeginOffsetMillis": _ms(segment.start),
        "EndOffsetMillis": _ms(segment.end),
        "Content": segment.event.text or "",
        "Sentiment": _sentiment(segment.valence),
        "Items": [
            {
                "Type": "pronunciation",
                "Content": word.word,
                "Confidence": word.confidence,
                "BeginOffsetMillis": _ms(word.start),
                "EndOffsetMillis": _ms(word.end),
            }
            for word in words
        ],
        "IssuesDetected": [],
    }


def _characteristics(conversation: Conversation, roles: dict[str, str]) -> dict[str, Any]:
    figures = conversation.view.figures()
    talk = {roles[name]: each for name, each in figures.talk.items()}
    interruptions, silences = _moments(conversation, roles, figures.duration)
    return {
        "TotalConversationDurationMillis": _ms(figures.duration),
        "TalkTime": {
            "TotalTimeMillis": sum(_ms(each.seconds) for each in talk.values()),
            "DetailsByParticipant": {
                role: {"TotalTimeMillis": _ms(each.seconds)} for role, each in talk.items()
            },
        },
        "NonTalkTime": {
            "TotalTimeMillis": sum(each["DurationMillis"] for each in silences),
            "Instances": silences,
        },
        "Interruptions": {
            "TotalCount": sum(map(len, interruptions.values())),
            "TotalTimeMillis": sum(
                each["DurationMillis"] for found in interruptions.values() for each in found
            ),
            "InterruptionsByInterrupter": interruptions,
        },
        "TalkSpeed": {
            "DetailsByParticipant": {
                role: {"AverageWordsPerMinute": round(each.words_per_minute)}
                for role, each in talk.items()
                if each.words_per_minute is not None
            }
        },
        "Sentiment": {
            "OverallSentiment": {
                role: each.overall for role, each in talk.items() if each.overall is not None
            },
            "SentimentByPeriod": {
                "QUARTER": {
                    role: [_period(each) for each in talk_of.quarters if each.score is not None]
                    for role, talk_of in talk.items()
                }
            },
        },
    }


def _moments(
    conversation: Conversation, roles: dict[str, str], duration: float
) -> tuple[dict[str, list[dict[str, int]]], list[dict[str, int]]]:
    """Return interruptions by who interrupts, and the silences."""
    interruptions: dict[str, list[dict[str, int]]] = {}
    silences = []
    turns = TurnTaking()
    for each in conversation.segments:
        if each.start > turns.covered:
            silences.append(_instance(turns.covered, each.start))
        seconds = turns.add(each.speaker, each.start, each.end)
        if seconds:
            found = interruptions.setdefault(roles[each.speaker], [])
            found.append(_instance(each.start, each.start + seconds))
    if duration > turns.covered:
        silences.append(_instance(turns.covered, duration))
    return interruptions, silences


def _categories(conversation: Conversation) -> dict[str, Any]:
    return {
        "MatchedCategories": sorted(conversation.view.alerts),
        "MatchedDetails": {
            rule: {
                "PointsOfInterest": [
                    {"BeginOffsetMillis": _ms(each.since), "EndOffsetMillis": _ms(each.at)}
                    for each in conversation.alerts
                    if each.rule == rule
                ]
            }
            for rule in sorted(conversation.view.alerts)
        },
    }


def _period(period: events.Period) -> dict[str, Any]:
    return {
        "BeginOffsetMillis": _ms(period.start),
        "EndOffsetMillis": _ms(period.end),
        "Score": period.score,
    }


def _instance(start: float, end: float) -> dict[str, int]:
    return {
        "BeginOffsetMillis": _ms(start),
        "DurationMillis": _ms(end) - _ms(start),
        "EndOffsetMillis": _ms(end),
    }


def _sentiment(valence: float | None) -> str:
    if valence is None or abs(valence) < _POSITIVE:
        return "NEUTRAL"
    return "POSITIVE" if valence > 0 else "NEGATIVE"


def _language(segments: Sequence[Segment]) -> str:
    return next((each.event.language for each in segments if each.event.language), "en")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
