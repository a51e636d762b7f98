"""IEMOCAP as features: the utterances of its dialogues with texts, log-mel frames and acoustic statistics.

utterances.csv.gz        a line for each utterance
logmel64_sessionN.npz    utterance_id, frames uint8 [F, 64] of all of them, offsets [n + 1]
acoustic_stats.npz       utterance_id, features [n, S], feature_names, wav8 [n, 8]

The corpus: Busso et al., Language Resources and Evaluation 42 (2008).
"""

import hashlib
import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.errors import UserError
from tools.data.tables import read_table

LABELS = ("angry", "happy", "sad", "neutral")
UTTERANCES = "utterances.csv.gz"
STATISTICS = "acoustic_stats.npz"
BANDS = 64
FRAME_S = 0.032
"""Step of the log-mel frames."""

MAX_UTTERANCES = 100_000
MAX_NPZ_BYTES = 2_000_000_000

_FROM_TRANSCRIPT = ("words_per_s",)
"""Statistics that are not of the audio."""
_LEVELS = ("sig_mean", "sig_std", "rmse_mean", "rmse_std", "auto_corr_std")
"""Those of wav8 that spread over orders of magnitude."""

_REQUIRED = (
    "utterance_id", "dialogue_id", "speaker", "text", "emotion", "emotion4", "end", "session",
    "scenario", "hop_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Utterance:
    """One utterance.

    Attributes:
        name: Its id, such as Ses01F_impro01_F000.
        dialogue: The dialogue that it is part of.
        speaker: Ses01_F, Ses01_M, ...: ten people.
        text: The reference transcript.
        emotion: As annotated: anger, frustration, undecided, ...
        emotion4: angry, happy, sad, neutral, or empty where none of them fits.
        session: 1 to 5.
        scenario: impro or script.
        end: Seconds since the dialogue began.
        hop_s: Seconds from one log-mel frame to the next; longer than `FRAME_S` in long utterances.
        valence: As annotated, in [-1, 1]; NaN where it was not.
        arousal: Likewise (the corpus's activation).
    """

    name: str
    dialogue: str
    speaker: str
    text: str
    emotion: str
    emotion4: str
    session: int
    scenario: str
    end: float
    hop_s: float
    valence: float = math.nan
    arousal: float = math.nan


class Features:
    """What is known of the sound of utterances.

    Args:
        frames: [F, 64], the log-mel frames of all utterances.
        spans: Name -> first frame and the one after the last.
        statistics: Name -> acoustic statistics [S].
        names: What the S statistics are.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        spans: dict[str, tuple[int, int]],
        statistics: dict[str, NDArray[np.float32]],
        names: tuple[str, ...],
    ) -> None:
        self._frames, self._spans = frames, spans
        self._statistics, self.names = statistics, names

    def __contains__(self, utterance: Utterance) -> bool:
        """Return whether there is anything of its sound to judge."""
        return utterance.name in self._spans and utterance.name in self._statistics

    def frames(self, utterance: Utterance) -> NDArray[np.uint8]:
        """Return frames [F, 64], one each 32 ms; 0..31 stand for -80..0 dB under the utterance's own maximum."""
        start, end = self._spans[utterance.name]
        frames = self._frames[start:end]
        if utterance.hop_s <= 1.1 * FRAME_S:
            return frames
        count = round(len(frames) * utterance.hop_s / FRAME_S)
        chosen = np.linspace(0, len(frames) - 1, count).round().astype(np.int64)
        return np.asarray(frames[chosen])

    def statistics(self, utterance: Utterance) -> NDArray[np.float32]:
        """Return statistics [S]."""
        return self._statistics[utterance.name]


def read_utterances(folder: Path, sessions: Sequence[int] | None = None) -> list[list[Utterance]]:
    """Return the dialogues of some sessions, the utterances of each in the order in which they end.

    Args:
        folder: Holds `utterances.csv.gz`.
        sessions: Their numbers; None: all.

    Raises:
        UserError: Not there, damaged, or without an utterance of one of the sessions.
    """
    path = folder / UTTERANCES
    table = read_table(path, _REQUIRED, MAX_UTTERANCES)
    utterances = [_utterance(path, number, row) for number, row in table]
    for session in sessions or ():
        if not any(utterance.session == session for utterance in utterances):
            raise UserError(f"{path}: no utterance of session {session}")
    return in_dialogues(u for u in utterances if sessions is None or u.session in sessions)


def in_dialogues(utterances: Iterable[Utterance]) -> list[list[Utterance]]:
    """Return utterances by dialogue, in the order in which they end."""
    ordered = sorted(utterances, key=lambda u: (u.dialogue, u.end, u.name))
    return [list(group) for _, group in groupby(ordered, key=lambda u: u.dialogue)]


def read_features(folder: Path, utterances: Iterable[Utterance]) -> Features:
    """Return the sound of some utterances; any may be absent from the files.

    Raises:
        UserError: A session's file is not there, or a file is damaged or of another form.
    """
    wanted = list(utterances)
    names = {utterance.name for utterance in wanted}
    parts: list[NDArray[np.uint8]] = []
    spans: dict[str, tuple[int, int]] = {}
    total = 0
    for session in sorted({utterance.session for utterance in wanted}):
        path = folder / f"logmel64_session{session}.npz"
        ids, frames, offsets = _arrays(path, ("utterance_id", "frames", "offsets"))
        right = (
            frames.dtype == np.uint8
            and frames.ndim == 2
            and frames.shape[1] == BANDS
            and offsets.shape == (len(ids) + 1,)
            and offsets[0] == 0
            and offsets[-1] == len(frames)
            and bool((np.diff(offsets) >= 0).all())
        )
        if not right:
            raise UserError(f"{path}: frames and offsets do not fit together")
        for place, name in enumerate(ids.tolist()):
            if name in names and offsets[place + 1] > offsets[place]:
                spans[name] = (total + int(offsets[place]), total + int(offsets[place + 1]))
        parts.append(frames)
        total += len(frames)
    frames = np.concatenate(parts) if parts else np.zeros((0, BANDS), np.uint8)
    columns, rows = _read_statistics(folder / STATISTICS, names)
    return Features(frames, spans, rows, columns)


def data_hashes(folder: Path, sessions: Iterable[int]) -> dict[str, str]:
    """Return the SHA-256 of each file that those sessions are read from, by name."""
    names = [UTTERANCES, STATISTICS, *(f"logmel64_session{n}.npz" for n in sorted(sessions))]
    hashes = {}
    for name in names:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _read_statistics(
    path: Path, names: set[str]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.float32]]]:
    ids, features, columns, wav8, wav8_names = _arrays(
        path, ("utterance_id", "features", "feature_names", "wav8", "wav8_names")
    )
    if (
        features.shape != (len(ids), len(columns))
        or wav8.shape != (len(ids), len(wav8_names))
        or features.dtype.kind != "f"
        or wav8.dtype.kind != "f"
    ):
        raise UserError(f"{path}: features and their names do not fit together")
    kept = [place for place, name in enumerate(columns.tolist()) if name not in _FROM_TRANSCRIPT]
    levels = np.isin(wav8_names, _LEVELS)
    wav8 = np.where(levels, np.log(np.abs(wav8) + 1e-6), wav8)
    values = np.concatenate([features[:, kept], wav8], axis=1).astype(np.float32)
    if np.isinf(values).any():
        raise UserError(f"{path}: a feature is infinite")
    titles = (*(str(columns[place]) for place in kept), *map(str, wav8_names))
    return titles, {name: values[i] for i, name in enumerate(ids.tolist()) if name in names}


def _arrays(path: Path, keys: Sequence[str]) -> list[NDArray[Any]]:
    if not path.is_file():
        raise UserError(f"{path}: not there; give the folder that holds the features")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_NPZ_BYTES:
                raise UserError(f"{path}: unpacks to more than {MAX_NPZ_BYTES} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[key] for key in keys]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged, or of another form: {error}") from error


def _utterance(path: Path, number: int, row: dict[str, str]) -> Utterance:
    label = row["emotion4"] or ""
    digits = re.search(r"\d+", row["session"] or "")
    if label not in ("", *LABELS) or digits is None:
        raise UserError(
            f"{path}, line {number}: emotion4 must be one of {LABELS} or empty, session a number"
        )
    try:
        return Utterance(
            name=row["utterance_id"],
            dialogue=row["dialogue_id"],
            speaker=row["speaker"],
            text=row["text"] or "",
            emotion=row["emotion"] or "",
            emotion4=label,
            session=int(digits[0]),
            scenario=row["scenario"] or "",
            end=float(row["end"]),
            hop_s=min(float(row["hop_s"] or FRAME_S), 1.0),
            valence=_rating(row.get("valence")),
            arousal=_rating(row.get("activation")),
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}, line {number}: {error}") from error


def _rating(stored: str | None) -> float:
    """Map 1..5 to -1..1; NaN for none."""
    return (float(stored) - 3) / 2 if stored else math.nan
