"""Sounds without words: laughs, cries, sighs and coughs, for the system that tells them from speech."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from tools.data.cache import open_clips
from tools.data.manifest import Clip
from tools.training.tasks.zoo_data import Part, clip_frames
from tools.training.tasks.zoo_encoders import AudioFrames

SOUNDS = ("speech", "laugh", "cry", "sigh", "cough")
"""Kinds of sound; the first is speech."""

MOST_OF_A_KIND = 150

_KINDS = {
    ("deeply_nonverbal", "laughing"): "laugh",
    ("deeply_nonverbal", "crying"): "cry",
    ("deeply_nonverbal", "sighing"): "sigh",
    ("deeply_nonverbal", "coughing"): "cough",
    ("deeply_nonverbal", "throat-clearing"): "cough",
    ("emogator", "amusement"): "laugh",
    ("emogator", "sad"): "cry",
    ("emogator", "relief"): "sigh",
}
"""Corpus and its own label -> kind; bursts of amusement, sadness and relief stand for what they mostly are."""


def sound_part(data: Path, cache: Path, split: str, encoder: AudioFrames) -> Part:
    """Clips without words of one part as frames, labelled by their kind among `SOUNDS`; kept in the cache."""
    speech = open_clips(data / "speech", cache)
    places = _chosen(speech.clips, split)
    clips = [speech.clips[place] for place in places]
    return Part(
        clip_frames(speech, cache, places, encoder) if places else [],
        torch.tensor([SOUNDS.index(_kind(clip)) for clip in clips], dtype=torch.int64),
        [clip.speaker for clip in clips],
        [clip.corpus for clip in clips],
        [clip.language for clip in clips],
    )


def _chosen(clips: Sequence[Clip], split: str) -> list[int]:
    """So many places of each kind, the corpus with events of a kind first."""
    met = Counter[str]()
    chosen = []
    for place in sorted(range(len(clips)), key=lambda at: clips[at].corpus):
        kind = _kind(clips[place]) if clips[place].split == split else ""
        met[kind] += 1
        if kind and met[kind] <= MOST_OF_A_KIND:
            chosen.append(place)
    return chosen


def _kind(clip: Clip) -> str:
    """Empty where it is none of them."""
    return _KINDS.get((clip.corpus, clip.emotion), "")
