"""Speakers before emotions: the first stage of `padi2022`, and how well its vectors tell voices apart."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer_models.sequences import Sequences
from streamer_models.zoo.padi2022 import Padi2022, spec_augment
from tools.data.cache import open_clips
from tools.evaluate.metrics import equal_error_rate
from tools.training.loop import StagePace, fit
from tools.training.tasks.zoo_data import Part, clip_frames
from tools.training.tasks.zoo_encoders import AudioFrames

READ_SPEECH = "librispeech_mini"
FRAMES = 66
"""Frames of a crop: two seconds."""

_LEAST_CLIPS = 2
_MOST_PAIRS = 20_000


SPEAKER_PACE = StagePace(epochs=4, learning_rate=2e-3)
"""Of the first stage."""


@dataclass(frozen=True)
class Voices:
    """Clips of known speakers.

    Attributes:
        features: Frames [T, bands] of each.
        speakers: Number of the speaker of each.
        count: Speakers.
    """

    features: list[Tensor]
    speakers: list[int]
    count: int


def voices(data: Path, cache: Path, speech: Part, encoder: AudioFrames) -> Voices:
    """Return the labelled clips that are learnt from and the read speech, of all speakers with two clips at least."""
    clips = open_clips(data / "speech", cache)
    read = [place for place, clip in enumerate(clips.clips) if clip.corpus == READ_SPEECH]
    frames = clip_frames(clips, cache, read, encoder) if read else []
    names = [*speech.groups, *(clips.clips[place].speaker for place in read)]
    often = [name for name, count in Counter(names).items() if count >= _LEAST_CLIPS]
    numbers = {name: number for number, name in enumerate(sorted(often))}
    kept = [
        (rows, numbers[name])
        for rows, name in zip([*speech.features, *frames], names, strict=True)
        if name in numbers
    ]
    return Voices([rows for rows, _ in kept], [number for _, number in kept], len(numbers))


def learn_speakers(
    model: Padi2022,
    heard: Voices,
    settings: StagePace,
    *,
    kept: Path,
    identity: Mapping[str, Any],
    seed: int,
) -> None:
    """Train the audio branch to tell speakers, on crops with stretches of bands and frames masked.

    Args:
        model: With a classifier of `heard.count` speakers.
        heard: To learn from.
        settings: Pace.
        kept: File of the state after each epoch.
        identity: All that the result depends on.
        seed: Of everything random.
    """

    def loss(places: list[int]) -> Tensor:
        rows: list[Tensor | None] = [cropped(heard.features[place].float()) for place in places]
        audio = Sequences.of(rows, model.config.sizes[0], model.device)
        masked = spec_augment(audio.values, torch.default_generator)
        truth = torch.tensor([heard.speakers[place] for place in places])
        return nn.functional.cross_entropy(
            model.speaker_logits(Sequences(masked, audio.mask)), truth
        )

    fit(
        model,
        range(len(heard.speakers)),
        loss,
        settings,
        kept=kept,
        identity=identity,
        seed=seed,
        title="speakers",
    )


def cropped(frames: Tensor) -> Tensor:
    """At most `FRAMES` of frames [T, bands], from anywhere."""
    start = int(torch.randint(0, max(1, len(frames) - FRAMES + 1), ()))
    return frames[start : start + FRAMES]


def verification(
    voice: Callable[[Tensor], NDArray[np.float32]], speech: Part, *, seed: int = 0
) -> dict[str, Any]:
    """Return how well unknown speakers are told apart: pairs of clips of one corpus, by the cosine of their vectors.

    Args:
        voice: Frames of a clip -> the vector of its speaker.
        speech: Clips of speakers that were not learnt from.
        seed: Of the choice of pairs.

    Returns:
        `pairs`, `speakers` and the equal error rate `eer`.
    """
    vectors = np.stack([voice(rows.float()) for rows in speech.features])
    vectors = vectors - vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.array(_pairs(speech.corpora, np.random.default_rng((seed, 5)))).reshape(-1, 2)
    speakers = np.array(speech.groups)
    same = speakers[pairs[:, 0]] == speakers[pairs[:, 1]]
    scores = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1).astype(np.float64)
    eer = equal_error_rate(scores, same)
    return {"pairs": len(pairs), "speakers": len(set(speech.groups)), "eer": round(eer, 4)}


def _pairs(corpora: Sequence[str], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of different clips of the same corpus."""
    at = {name: [i for i, corpus in enumerate(corpora) if corpus == name] for name in set(corpora)}
    drawn = rng.integers(len(corpora), size=_MOST_PAIRS).tolist()
    partners = [(a, at[corpora[a]][int(rng.integers(len(at[corpora[a]])))]) for a in drawn]
    return [(a, b) for a, b in partners if a != b]
