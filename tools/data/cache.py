"""All clips of a manifest decoded once, in one memory-mapped file.

A cache is a folder named after what it was made from, so that it is never stale: a changed manifest or file is
another cache. It appears under its name only when it is whole.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.audio import from_pcm16, to_pcm16
from tools.data.decoding import decode
from tools.data.manifest import Clip, manifest_hash, read_manifest
from tools.progress import progress

DEFAULT_CACHE = Path("runs/cache")

_SAMPLES = "samples.i16"
_INDEX = "index.json"


@dataclass(frozen=True)
class DecodedClips:
    """The clips of one manifest with their samples.

    Attributes:
        clips: In the manifest's order.
        offsets: int64 [clips + 1]: clip i is samples[offsets[i]:offsets[i + 1]].
        samples: int16, 16 kHz, memory-mapped.
        sha256: Of the manifest and the sizes of its files.
    """

    clips: list[Clip]
    offsets: NDArray[np.int64]
    samples: NDArray[np.int16]
    sha256: str

    def wave(self, index: int) -> NDArray[np.float32]:
        """Return the samples of one clip, float32 [n] in [-1, 1]."""
        part = self.samples[self.offsets[index] : self.offsets[index + 1]]
        return from_pcm16(part)


def open_clips(folder: Path, cache: Path = DEFAULT_CACHE) -> DecodedClips:
    """Open the decoded clips of a folder, decoding them first where that was not done yet.

    Raises:
        UserError: The manifest or one of its files is missing or damaged.
    """
    sha256 = manifest_hash(folder)
    clips = read_manifest(folder)
    place = cache / f"speech-{sha256[:16]}"
    if not place.is_dir():
        _decode_all(folder, clips, place)
    offsets = np.asarray(json.loads((place / _INDEX).read_text())["offsets"], np.int64)
    samples: NDArray[np.int16]
    if offsets[-1]:
        samples = np.memmap(place / _SAMPLES, np.int16, mode="r", shape=(int(offsets[-1]),))
    else:
        samples = np.zeros(0, np.int16)
    return DecodedClips(clips, offsets, samples, sha256)


def _decode_all(folder: Path, clips: list[Clip], place: Path) -> None:
    partial = place.with_name(f"{place.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        offsets = [0]
        with (partial / _SAMPLES).open("wb") as file:
            for clip in progress(clips, f"Decoding {folder}"):
                wave = to_pcm16(decode(folder / clip.path))
                file.write(wave.tobytes())
                offsets.append(offsets[-1] + len(wave))
        (partial / _INDEX).write_text(json.dumps({"offsets": offsets}))
        publish(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(partial: Path, place: Path) -> None:
    """Give a finished folder its name; the first of several wins, since all made the same."""
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():
            raise
