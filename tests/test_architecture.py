"""The arrows of docs/architecture.md: which part of the program may import which."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

GROUND_FLOOR = {
    *(
        "audio",
        "clock",
        "control",
        "cores",
        "errors",
        "event_files",
        "event_fields",
        "events",
        "files",
    ),
    *("media", "registry", "settings", "talk", "text", "turn_taking", "valence", "views"),
}
"""What every part may import; it imports only itself, and the settings that a wing mounts."""

MAY_IMPORT = {
    **{part: {"settings of a wing"} for part in GROUND_FLOOR},
    "sources": set(),
    "sinks": {"runtime"},  # its queues
    "mqtt": set(),
    "speech": {"streamer_models"},
    "transcription": {"streamer_models"},
    "runtime": {"process", "streamer_models", "transcription"},  # it makes processes
    "loading": {"runtime", "streamer_models"},
    "conversation": {"runtime", "sinks", "sources", "speech", "streamer_models", "transcription"},
    "streamer_models": set(),
}
"""Parts that are not here put things together: api, web, archive, commands, cli."""


def part_of(module: str) -> str:
    """The part of the program that a module belongs to."""
    package, _, rest = module.partition(".")
    if package == "streamer" and rest.endswith(".settings"):
        return "settings of a wing"
    return rest.partition(".")[0] if package == "streamer" else package


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports anywhere, for type checking as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "streamer":
            found |= {f"streamer.{alias.name}" for alias in node.names} - {"streamer.__version__"}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {
        name for name in found if name.split(".")[0] in {"streamer", "streamer_models", "tools"}
    }


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_imports_only_what_stands_below(part):
    place = ROOT / ("models" if part == "streamer_models" else "streamer") / part
    files = [*place.rglob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    ground = set() if part == "streamer_models" else GROUND_FLOOR
    assert [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in sorted(imports(path))
        if part_of(name) not in MAY_IMPORT[part] | ground | {part}
        and not name.startswith(f"streamer.{part}.")
    ] == []


def test_every_part_is_on_the_plan():
    parts = {
        path.stem
        for path in (ROOT / "streamer").iterdir()
        if path.suffix == ".py" or any(path.glob("*.py"))
    }
    together = {"api", "archive", "cli", "commands", "process", "web"}
    assert parts - together - {"__init__"} <= MAY_IMPORT.keys()


def test_only_the_command_line_sets_what_belongs_to_the_process():
    words = ("set_num_threads", "gc.freeze", "basicConfig", "os._exit")
    allowed = {"cli.py", "commands", "process.py"}  # the last: for workers that are processes, too
    assert [
        str(path.relative_to(ROOT))
        for path in (ROOT / "streamer").rglob("*.py")
        if path.relative_to(ROOT / "streamer").parts[0] not in allowed
        if any(word in path.read_text(encoding="utf-8") for word in words)
    ] == []


def test_importing_the_package_loads_nothing_heavy():
    import subprocess
    import sys

    heavy = {"torch", "numpy", "pydantic", "rich", "asyncio"}
    program = f"import streamer, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_the_places_that_contributing_names_are_there():
    named = re.findall(r"`((?:streamer|models|tools|docs|tests)/[\w/.-]+)`", CONTRIBUTING)
    assert len(named) > 20
    assert [place for place in named if "NAME" not in place and not (ROOT / place).exists()] == []


def test_the_names_that_contributing_gives_are_there():
    rows = [line for line in CONTRIBUTING.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`(\w+(?:\.\w+)?)`", "\n".join(rows)))
    sources = [path for place in ("streamer", "models") for path in (ROOT / place).rglob("*.py")]
    words = {word for path in sources for word in re.findall(r"\w+", path.read_text("utf-8"))}
    assert len(named) > 10
    assert [name for name in sorted(named) if not set(name.split(".")) <= words | {"py"}] == []


def test_names_are_terms_of_the_field_and_no_metaphors():
    metaphors = {
        *("ear", "mind", "scribe", "listener", "hearing", "patience"),
        *("company", "twin", "outlet", "beat", "told"),
    }
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    named = [
        (path, name)
        for place in ("streamer", "models/streamer_models", "tools")
        for path in (ROOT / place).rglob("*.py")
        for name in (
            path.stem,
            *(n.name for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, kinds)),
        )
    ]
    assert [
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in named
        if metaphors & {word.lower() for word in re.findall("[A-Z]?[a-z]+", name)}
    ] == []
