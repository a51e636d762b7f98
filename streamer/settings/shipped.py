"""Files that come with streamer: configurations and the sample call."""

from pathlib import Path

from streamer.errors import UserError

_PACKAGE = Path(__file__).resolve().parents[1]


def configurations() -> Path:
    """Return the folder of configurations: in the package once installed, beside it in a checkout."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def configuration(name: str) -> Path:
    """Return a configuration by its path, or by the name of one that comes with streamer.

    Raises:
        UserError: if there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = configurations() / f"{name}.yaml"
    if "/" not in name and shipped.is_file():
        return shipped
    known = ", ".join(sorted(p.stem for p in configurations().glob("*.yaml")))
    raise UserError(
        f"configuration {name}: no such file, nor one that comes with streamer ({known})"
    )


def sample_call() -> Path:
    """Return the call of two voices that `make demo` replays."""
    return _PACKAGE / "samples" / "call.ogg"
