"""`python -m tools.evaluate diarization`: who speaks when in one channel, through the whole pipeline without words.

Recordings beside an RTTM, their channels mixed to one (`--data`), and dialogues of two voices composed of clips
(`--speech`), one in two over a telephone. Both fall into a development half, to tune by, and a test half; nobody who
is named in one is in the other.

`der` is the diarization error rate without a collar, overlaps counted; the other forms leave out .25 s on either side
of each boundary, or the time in which several speak. Utterances begin up to 0.3 s before the voice and end 0.09 s after
it, which are errors in forms without a collar: they are cut without both. `causes` divides `der` by what it comes from.
`speakers_right` is the share of recordings in which as many speakers were found as there are. The latency of a label is
the audio waited for: since the voice ended, and since the utterance began. Of composed dialogues, whose turns have
emotions, `emotion` has the accuracy of the labels: what a turn was called is the mean of the utterances that overlap
it, so that turns of two voices in one utterance share its label.
"""

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.api import Engine
from streamer.audio import SAMPLE_RATE, Samples
from streamer.clock import VirtualClock
from streamer.errors import UserError
from streamer.events import Utterance
from streamer.process import one_thread_per_computation
from streamer.settings import load as configuration
from streamer.talk import speaker_of
from tools.command_line import add_set, overrides_of
from tools.data.decoding import decode
from tools.data.mono_dialogues import HALVES, Half, compose
from tools.data.samples_source import SamplesSource
from tools.evaluate.metrics import grouped_report
from tools.evaluate.output import write_json
from tools.evaluate.recordings import Collected, SpokenTurn, compare
from tools.evaluate.rttm import Annotated, find_annotated
from tools.evaluate.speaker_causes import BOUNDS, CAUSES, causes
from tools.evaluate.speaker_errors import FORMS, Diarized, Spoken, errors
from tools.printing import print_rows
from tools.progress import progress

_COLUMNS = (*FORMS, "purity", "coverage", "speakers_right")


@dataclass(frozen=True, slots=True)
class Conversation:
    """Audio of one channel, who speaks when, and turns with emotions, where these are known."""

    name: str
    samples: Samples
    speech: Sequence[Spoken]
    turns: Sequence[SpokenTurn] = ()

    @property
    def group(self) -> str:
        """What it belongs to: the first part of its name."""
        return self.name.partition("_")[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, help="folder of recordings, each with a FILE.rttm")
    parser.add_argument("--speech", type=Path, help="folder of clips to compose dialogues of")
    parser.add_argument("--composed", type=int, default=18, metavar="N", help="how many of them")
    parser.add_argument("--seed", type=int, default=0, help="of the composed dialogues")
    parser.add_argument("--half", choices=HALVES, default="development", help="which half")
    parser.add_argument("--config", type=Path, help="settings of the pipeline (YAML)")
    add_set(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    overrides = {"asr.backend": "none"} | overrides_of(arguments)
    settings = configuration.load(arguments.config, overrides=overrides)
    segmentation = settings.segmentation.model_copy(update={"pre_roll": 0.0, "tail": 0.0})
    settings = settings.model_copy(update={"segmentation": segmentation})
    found = list(conversations(arguments))
    one_thread_per_computation()
    with Engine.load(settings, print) as engine:
        said = [
            asyncio.run(analyse(conversation, engine))
            for conversation in progress(found, "Analysing")
        ]
        result = evaluate(found, said, engine.bundle.labels)
    result |= {"half": arguments.half, "settings": settings.model_dump(mode="json")}
    _print(f"{arguments.half} half", result)
    write_json(arguments.json, result)


def conversations(arguments: argparse.Namespace) -> Iterator[Conversation]:
    """Read and compose what the arguments ask for.

    Raises:
        UserError: They ask for nothing, or something cannot be read.
    """
    if not (arguments.data or arguments.speech):
        raise UserError("give --data, a folder of recordings, or --speech, one of clips, or both")
    if arguments.data:
        for annotated in part_of(find_annotated(arguments.data), arguments.half):
            speech = [Spoken(turn.start, turn.end, turn.speaker) for turn in annotated.turns]
            yield Conversation(annotated.file.stem, decode(annotated.file), speech)
    if arguments.speech:
        for dialogue in compose(
            arguments.speech, arguments.half, arguments.composed, seed=arguments.seed
        ):
            turns = [SpokenTurn(t.start, t.end, t.speaker, t.emotion4) for t in dialogue.turns]
            speech = [
                Spoken(start, end, turn.speaker)
                for turn in dialogue.turns
                for start, end in turn.speech
            ]
            yield Conversation(dialogue.name, dialogue.samples, speech, turns)


def part_of(recordings: Sequence[Annotated], half: Half) -> list[Annotated]:
    """Return the recordings of one half; those that share a speaker are in the same one."""
    groups: list[tuple[set[str], list[Annotated]]] = []
    for recording in recordings:
        names, together = {turn.speaker for turn in recording.turns}, [recording]
        apart = []
        for group in groups:
            if group[0] & names:
                names, together = names | group[0], group[1] + together
            else:
                apart.append(group)
        groups = [*apart, (names, together)]
    groups.sort(key=lambda group: group[1][0].file)
    return [one for _, together in groups[HALVES.index(half) :: 2] for one in together]


async def analyse(conversation: Conversation, engine: Engine) -> list[Utterance]:
    """Return the utterances of a conversation."""
    sink = Collected()
    source = SamplesSource(conversation.name, conversation.samples)
    await engine.run(source, [sink], VirtualClock())
    return sink.utterances


def evaluate(
    found: Sequence[Conversation], said: Sequence[Sequence[Utterance]], labels: Sequence[str]
) -> dict[str, Any]:
    """Measure as this module's documentation says.

    Args:
        found: The conversations.
        said: The utterances of each.
        labels: Of the model.
    """
    recordings = [_diarized(*pair) for pair in zip(found, said, strict=True)]
    result = _measured(recordings) | {"latency": _latency([u for some in said for u in some])}
    groups: dict[str, list[Diarized]] = defaultdict(list)
    for conversation, recording in zip(found, recordings, strict=True):
        groups[conversation.group].append(recording)
    names = [conversation.name for conversation in found]
    result["groups"] = {
        "group": {name: _measured(some) for name, some in sorted(groups.items())},
        "recording": {name: _measured([one]) for name, one in zip(names, recordings, strict=True)},
    }
    expressed = {
        conversation.name: (list(conversation.turns), list(utterances))
        for conversation, utterances in zip(found, said, strict=True)
        if conversation.turns
    }
    if expressed:
        judgements, kinds = compare(labels, expressed)
        result["emotion"] = grouped_report(
            judgements, {"group": [name.partition("_")[0] for name in kinds["recording"]]}
        )
    return result


def _measured(recordings: Sequence[Diarized]) -> dict[str, Any]:
    return errors(recordings) | {"causes": causes(recordings)}


def _diarized(conversation: Conversation, said: Sequence[Utterance]) -> Diarized:
    return Diarized(
        len(conversation.samples) / SAMPLE_RATE,
        conversation.speech,
        [Spoken(one.start, one.end, speaker_of(one)) for one in said],
    )


def _latency(said: Sequence[Utterance]) -> dict[str, dict[str, float | None]]:
    """Return seconds of audio waited for a label, since the voice ended and since the utterance began."""
    ended = [one.latency_ms.endpoint / 1000 for one in said]
    begun = [one.end - one.start + wait for one, wait in zip(said, ended, strict=True)]
    return {"since_end": _spread(ended), "since_begin": _spread(begun)}


def _spread(seconds: Sequence[float]) -> dict[str, float | None]:
    points = {"median": 50, "p95": 95}
    return {
        name: round(float(np.percentile(seconds, point)), 3) if seconds else None
        for name, point in points.items()
    }


def _print(title: str, result: Mapping[str, Any]) -> None:
    rows: list[tuple[str, ...]] = []
    for parts in ({"all": result}, *result["groups"].values()):
        for name, part in parts.items():
            rows.append((name, str(part["n"]), *(_cell(part[column]) for column in _COLUMNS)))
        rows.append(())
    print_rows(title, ("part", "n", *_COLUMNS), rows)
    print_rows(
        "what the errors come from, and two bounds",
        ("part", *CAUSES, *BOUNDS),
        (
            (name, *(_share(part["causes"][column]) for column in (*CAUSES, *BOUNDS)))
            for name, part in {"all": result, **result["groups"]["group"]}.items()
        ),
    )
    print(f"latency: {result['latency']}")
    if emotion := result.get("emotion"):
        print(f"emotion: n {emotion['n']}, ua {emotion['ua']}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell(measure: Mapping[str, float | None]) -> str:
    value, low, high = (measure[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}-{high:.3f}]"
