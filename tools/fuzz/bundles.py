"""Mutated bundles: each is refused in one line, or is the same model. Half of them carry the right hashes."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from numpy.random import Generator

from tools.fuzz import running
from tools.fuzz.mutation import mutated

_BUNDLE = "streamer-en-1"
_MANIFEST = "bundle.json"
_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**9,
    10**30,
    1e308,
    "",
    "x" * 5000,
    "../../etc/passwd",
    [],
    {},
    [[]],
    float("nan"),
)

GROWTH_LIMIT = 150.0
"""Megabytes that a case may take: the whole bundle is 28 and takes 80 while it is loaded."""


def prepare(folder: Path) -> running.Attempt:
    """Copy the bundle that comes with the program."""
    from streamer_models.bundle import find_bundle

    original = find_bundle(_BUNDLE)
    names = [path.name for path in original.iterdir()]
    case = folder / "case"
    case.mkdir()
    for name in names:
        shutil.copy(original / name, case / name)

    def attempt(rng: Generator) -> str:
        name = names[int(rng.integers(len(names)))] if rng.random() < 0.6 else _MANIFEST
        data = (original / name).read_bytes()
        try:
            (case / name).write_bytes(_changed(name, data, rng))
            if name != _MANIFEST and rng.random() < 0.5:
                _rehash(case, name)
            return _loaded(case)
        finally:
            shutil.copy(original / name, case / name)
            shutil.copy(original / _MANIFEST, case / _MANIFEST)

    return attempt


def _loaded(case: Path) -> str:
    from streamer_models.bundle import Bundle, BundleError

    try:
        Bundle.load(case)
    except BundleError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            raise AssertionError(f"no line: {str(error)[:300]!r}") from error
        return "refused"
    return "loaded"


def _changed(name: str, data: bytes, rng: Generator) -> bytes:
    if name != _MANIFEST or rng.random() < 0.3:
        return mutated(data, rng)
    tree = json.loads(data)
    node = tree
    while True:
        keys = [*node] if isinstance(node, dict) else [*range(len(node))]
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.7:
            node = node[key]
            continue
        if rng.random() < 0.2:
            del node[key]
        else:
            node[key] = _VALUES[int(rng.integers(len(_VALUES)))]
        return json.dumps(tree).encode()


def _rehash(case: Path, name: str) -> None:
    """Let the manifest name the file as it is now."""
    manifest = json.loads((case / _MANIFEST).read_bytes())
    data = (case / name).read_bytes()
    if name in manifest["files"]:
        manifest["files"][name] = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
        }
    (case / _MANIFEST).write_text(json.dumps(manifest))


add_arguments = running.add_arguments
run = running.command(prepare, GROWTH_LIMIT)
