"""Changed copies of a bundle on disk."""

import hashlib
import json

import pytest

from streamer_models import manifest as manifests
from streamer_models.bundle import Bundle, BundleError


def rewrite(directory, change, *, sign=True):
    """Change the manifest, and its own SHA-256 with it."""
    path = directory / "bundle.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if sign:
        manifest.pop("sha256", None)
        manifest["sha256"] = manifests._digest(manifest)
    path.write_text(json.dumps(manifest))


def replace_file(directory, name, data):
    """Put other content into a file, and let the manifest vouch for it."""
    (directory / name).write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(directory, lambda manifest: manifest["files"].__setitem__(name, entry))


def refused(directory, words):
    with pytest.raises(BundleError, match=words) as caught:
        Bundle.load(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)
