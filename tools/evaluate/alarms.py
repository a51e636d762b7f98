"""`python -m tools.evaluate alarms`: labels an hour on talk in which nothing is expressed, and how stable labels are.

It reads the events of `streamer replay --speed max --jsonl FOLDER/ FILE...`. On calm recordings (meetings, readers,
service calls) each confident label other than neutral is a false alarm. A label is stable if the estimate at one or
two seconds of the utterance equals the final one.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import UserError
from tools.evaluate.metrics import draws
from tools.evaluate.output import CALM, write_json

STABLE_AFTER_S = (1.0, 2.0)
_HOUR = 3600.0
_NONE_SEEN = 3.0
"""Of what was not seen once there were fewer, with a confidence of 95 % (exp(-3) = .05)."""


@dataclass
class Recording:
    """What was said of one recording.

    Attributes:
        hours: Its duration.
        utterances: How many there are.
        labels: Confident labels other than neutral: how often each.
        alerts: Alerts of rules.
        stable: For each of `STABLE_AFTER_S` and each utterance with an estimate at that age: whether its label is the
            final one.
    """

    hours: float = 0.0
    utterances: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    alerts: int = 0
    stable: dict[float, list[bool]] = field(
        default_factory=lambda: {age: [] for age in STABLE_AFTER_S}
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "events", type=Path, nargs="+", metavar="EVENTS.jsonl", help="events of calm recordings"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    result = measure([read(path) for path in arguments.events])
    print(
        f"{result['recordings']} recordings, {result['hours']} h, {result['utterances']} utterances"
    )
    for name, rate in result["per_hour"].items():
        print(f"{name}: {rate['value']} an hour [{rate['low']}-{rate['high']}]")
    for age, share in result["stable"].items():
        print(f"label after {age} s equal to the final one: {share['share']} of {share['n']}")
    write_json(arguments.json, result)


def read(path: Path) -> Recording:
    """Return the figures of one file of events.

    Raises:
        UserError: It cannot be read, is no file of events, or its session did not end.
    """
    recording, estimates = Recording(), dict[str, dict[float, str]]()
    for event in _events(path):
        kind = event.get("type")
        if kind == "speech_update":
            _note_estimate(estimates.setdefault(event["utterance"], {}), event)
        elif kind == "utterance":
            _add_utterance(recording, event, estimates.pop(event["utterance"], {}))
        elif kind == "alert":
            recording.alerts += 1
        elif kind == "session_ended":
            recording.hours += event["duration"] / _HOUR
    if not recording.hours:
        raise UserError(f"{path}: no session ended in these events")
    return recording


def measure(recordings: Sequence[Recording], *, seed: int = 0) -> dict[str, Any]:
    """Return rates with 95 % intervals over recordings, and stability.

    Args:
        recordings: To measure together.
        seed: Of the bootstrap.
    """
    counts = {
        "confident": [sum(r.labels.values()) for r in recordings],
        **{
            label: [r.labels[label] for r in recordings]
            for label in sorted({label for r in recordings for label in r.labels})
        },
        "alerts": [r.alerts for r in recordings],
    }
    hours = [r.hours for r in recordings]
    stable = {age: [s for r in recordings for s in r.stable[age]] for age in STABLE_AFTER_S}
    return {
        "recordings": len(recordings),
        "hours": round(sum(hours), 3),
        "utterances": sum(r.utterances for r in recordings),
        "per_hour": {name: per_hour(values, hours, seed=seed) for name, values in counts.items()},
        "stable": {
            f"{age:g}": {"n": len(s), "share": round(float(np.mean(s)), 4) if s else None}
            for age, s in stable.items()
        },
    }


def _events(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a file of events ({error})") from error


def _note_estimate(labels: dict[float, str], event: Mapping[str, Any]) -> None:
    probabilities = event.get("probabilities")
    if not probabilities:
        return
    for age in STABLE_AFTER_S:
        if event["end"] - event["start"] >= age:
            labels.setdefault(age, max(probabilities, key=probabilities.__getitem__))


def _add_utterance(
    recording: Recording, event: Mapping[str, Any], estimates: Mapping[float, str]
) -> None:
    recording.utterances += 1
    label = event["emotion"]
    if label is None:
        return
    if label != CALM and not event["abstained"]:
        recording.labels[label] += 1
    for age, estimate in estimates.items():
        recording.stable[age].append(estimate == label)


def per_hour(
    counts: Sequence[int], hours: Sequence[float], *, seed: int = 0
) -> dict[str, float | None]:
    """Return events an hour; the interval resamples recordings, of which `counts` and `hours` are.

    Where no recording has an event, the upper bound is Poisson's: three in all the hours.
    """
    events, time = np.array(counts, float), np.array(hours)
    value = round(float(events.sum() / time.sum()), 1)
    if not events.any():
        return {"value": value, "low": 0.0, "high": round(_NONE_SEEN / float(time.sum()), 1)}
    if len(time) < 2:
        return {"value": value, "low": None, "high": None}
    drawn = draws(len(time), seed=seed)
    low, high = np.percentile((drawn @ events) / (drawn @ time), (2.5, 97.5))
    return {"value": value, "low": round(float(low), 1), "high": round(float(high), 1)}
