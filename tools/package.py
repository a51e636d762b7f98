"""`python -m tools.package`: the wheel as others install it, in empty environments, without a network.

An environment gets the wheel, and links to those packages alone that the wheel's metadata requires: what is not
declared is not there. The base must import, explain itself and print the schema; with [analyze] a replay must work from
another directory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

NAME = "streamer-emotion"
CALL = "streamer/samples/call.ogg"


def main() -> int:
    """Build the wheel and try it; the exit code of the first program that fails."""
    argparse.ArgumentParser(prog="tools.package", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="package-") as scratch:
        folder = Path(scratch)
        wheel = build(folder)
        size = wheel.stat().st_size / 1e6
        print(f"{wheel.name}: {size:.0f} MB")
        try:
            base = environment(folder / "base", wheel, ())
            run(base, folder, "-c", "import streamer; streamer.subscribe")
            run(base, folder, "-m", "streamer.cli", "--help")
            run(base, folder, "-m", "streamer.cli", "schema")
            run(base, folder, "-m", "streamer.cli", "config")
            refused = run(base, folder, "-m", "streamer.cli", "replay", "call.ogg", code=2)
            if "streamer-emotion[analyze]" not in refused:
                raise SystemExit(f"the base does not name the extra it lacks: {refused}")
            full = environment(folder / "analyze", wheel, ("analyze",))
            call = Path(CALL).resolve()
            replay = ("replay", str(call), "--speed", "max", "--jsonl", "-")
            options = ("--channels", "agent,customer", "--set", "asr.backend=none")
            events = run(full, folder, "-m", "streamer.cli", *replay, *options)
            if '"type":"session_ended"' not in events:
                raise SystemExit("the replay did not end")
            (folder / "events.jsonl").write_text(events)
            run(base, folder, "-m", "streamer.cli", "report", "events.jsonl", "--out", "page.html")
            export = ("export", "events.jsonl", "--format", "csv", "--out", "table.csv")
            run(base, folder, "-m", "streamer.cli", *export)
            run(base, folder, "-m", "streamer.cli", "doctor", code=1)
        except subprocess.CalledProcessError as error:
            print(error.stdout, error.stderr, sep="\n", file=sys.stderr)
            return 1
    print("the base and [analyze] work in environments of their own")
    return 0


def build(folder: Path) -> Path:
    """Build the wheel with what is installed here."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), "."], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(place: Path, wheel: Path, extras: tuple[str, ...]) -> Path:
    """Make an environment with the wheel and what it requires; return its Python."""
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    for installed in closure(extras):
        for name in {path.parts[0] for path in installed.files or () if path.parts[0] != ".."}:
            source, link = Path(str(installed.locate_file(name))), packages / name
            if source.exists() and not link.exists():
                link.symlink_to(source)
    return python


def closure(extras: tuple[str, ...]) -> Iterator[Distribution]:
    """Yield the installed packages that the base with some extras requires, directly or not."""
    waiting, seen = [(NAME, frozenset(extras))], set[tuple[str, frozenset[str]]]()
    while waiting:
        name, wanted = waiting.pop()
        if (name.lower(), wanted) in seen:
            continue
        seen.add((name.lower(), wanted))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            print(f"{name} is required, but not installed here", file=sys.stderr)
            continue
        if name != NAME:
            yield installed
        for text in installed.requires or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in ("", *wanted)):
                waiting.append((requirement.name, frozenset(requirement.extras)))


def run(python: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """Run the environment's Python somewhere else, with nothing of this checkout; return what it says."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STREAMER_"))}
    command = [str(python), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
