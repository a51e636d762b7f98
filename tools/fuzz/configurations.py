"""Mutated configurations: each is settings, or refused in one line that names what is wrong."""

from pathlib import Path

from numpy.random import Generator

from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings.shipped import configuration as shipped
from tools.fuzz import running
from tools.fuzz.mutation import mutated

_NAMES = ("default", "call-centre", "home", "home-assistant")
_TEXTS = (
    *(
        "2026-01-01",
        "!!int zz",
        "!!timestamp x",
        "!!python/object:os.system x",
        "1" * 5000,
        "[" * 3000,
    ),
    *(
        "{a: &a [x, x], b: &b [*a, *a], c: [*b, *b]}",
        ".inf",
        "-.nan",
        "0x",
        "~",
        "''",
        "é\u2028",
        "- -",
        "? :",
    ),
    *("1e400", "0o8", "1:2:3", "*a", "&a", "%", "@", "`", "|\n x", "null", "yes", "-0", "[]", "{}"),
)
_KEYS = (
    "asr.model",
    "mqtt.node",
    "audio.channels",
    "asr.beam_size",
    "privacy.channels",
    "cores",
    "nowhere.x",
    ".",
    "..",
)
_MAX_LINE = 2000


def prepare(folder: Path) -> running.Attempt:
    """Read the configurations that come with the program."""
    whole = [shipped(name).read_bytes() for name in _NAMES]

    def attempt(rng: Generator) -> str:
        data = mutated(whole[int(rng.integers(len(whole)))], rng)
        if rng.random() < 0.3:
            data = _with_odd_value(data, rng)
        path = folder / "case.yaml"
        path.write_bytes(data)
        try:
            configuration.load(path, _environment(rng), _overrides(rng))
        except UserError as error:
            if "\n" in str(error) or len(str(error)) > _MAX_LINE:
                raise AssertionError(f"no line: {str(error)[:300]!r}") from error
            return "refused"
        return "settings"

    return attempt


def _with_odd_value(data: bytes, rng: Generator) -> bytes:
    lines = data.splitlines()
    places = [place for place, line in enumerate(lines) if b": " in line]
    if places:
        place = places[int(rng.integers(len(places)))]
        lines[place] = lines[place].partition(b":")[0] + b": " + _text(rng).encode()
    return b"\n".join(lines)


def _environment(rng: Generator) -> dict[str, str]:
    if rng.random() < 0.7:
        return {}
    return {"STREAMER_" + _key(rng).replace(".", "_").upper(): _text(rng)}


def _overrides(rng: Generator) -> dict[str, object]:
    if rng.random() < 0.7:
        return {}
    key = _key(rng)
    return {key: configuration.scalar(f"--set {key}", _text(rng))}


def _key(rng: Generator) -> str:
    return _KEYS[int(rng.integers(len(_KEYS)))]


def _text(rng: Generator) -> str:
    return _TEXTS[int(rng.integers(len(_TEXTS)))]


add_arguments = running.add_arguments
run = running.command(prepare)
