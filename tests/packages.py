"""Packages beside streamer, for tests of the extension points."""

import importlib
import os
import sys
from pathlib import Path


def install(folder: Path, monkeypatch, code: str, groups: dict[str, dict[str, str]]) -> None:
    """Install a package `extension` of one module, for this process and those that it starts.

    Args:
        folder: Where; put on the module search path.
        monkeypatch: Undoes it.
        code: The module's text.
        groups: Entry points: group -> name -> attribute of the module.
    """
    (folder / "extension.py").write_text(code)
    info = folder / "extension-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n")
    lines = [
        line
        for group, names in groups.items()
        for line in (f"[{group}]", *(f"{name} = extension:{a}" for name, a in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(folder)
    inherited = os.environ.get("PYTHONPATH")
    paths = [str(folder), *([inherited] if inherited else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delitem(sys.modules, "extension", raising=False)
    importlib.invalidate_caches()
