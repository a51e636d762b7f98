"""Sources of the settings: a YAML file, then the environment, then the command line.

A key that is not in the tree, or a value out of its bounds, is an error that names the key's path.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from streamer.errors import UserError
from streamer.settings.parsing import (
    MAX_BYTES,
    annotation_of,
    is_secret,
    is_text,
    parse,
    resolve,
    typed,
)
from streamer.settings.tree import Settings
from streamer.text import printable

ENVIRONMENT_PREFIX = "STREAMER_"
_SHOWN = 100
"""Characters of a value or a message that an error shows."""
_ERRORS = 5
"""Errors that are shown at once."""
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Load the effective settings.

    Args:
        file: A YAML file; None for the defaults.
        environment: Variables `STREAMER_SECTION_KEY`, their values read as YAML; None for the process's own.
        overrides: Dotted paths and their values, as the command line gives them.

    Raises:
        UserError: One line with the path of each wrong key and where it came from.
    """
    tree: dict[str, Any] = _read(file) if file else {}
    origins: dict[str, str] = {}
    for name, value in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = _path_of_variable(name)
            _put(tree, path, scalar(f"environment {name}", value, path))
            origins[path] = name
    for path, value in (overrides or {}).items():
        if secret := next(_secrets(path.split("."), value), None):
            raise UserError(f"{secret}: a secret, and other users can read the command line")
        _put(tree, path, value)
        origins[path] = "command line"
    if unknown := next(_constants(tree, Settings, ()), None):
        raise UserError(_unknown(unknown, file, origins))
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(e), file, origins) for e in error.errors()[:_ERRORS]]
        more = error.error_count() - len(lines)
        raise UserError("; ".join(lines) + (f"; and {more} more" if more else "")) from None


def scalar(origin: str, text: str, path: str = "") -> Any:
    """Read a value written as YAML: `0.5`, `true`, `null`, `[agent, customer]`.

    Secrets, and settings that are texts, keep what was written: `0123` is no number there.

    Args:
        origin: Where it stands.
        text: The value.
        path: The setting's dotted path.

    Raises:
        UserError: It is not YAML.
    """
    annotation = annotation_of(Settings, path.split("."))
    if is_secret(annotation):
        return text
    if is_text(annotation):
        return None if resolve(text) is None else text
    try:
        return typed(parse(text), annotation)
    except ValueError as error:
        raise UserError(f"{origin}: {error}") from None


def _constants(tree: Any, kind: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths in a tree that name values which are no settings."""
    fields = getattr(kind, "model_fields", {})
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key in fields and fields[key].exclude:
            yield (*path, key)
        elif key in fields:
            yield from _constants(value, fields[key].annotation, (*path, key))


def _secrets(path: Sequence[str], value: Any) -> Iterator[str]:
    """Yield the paths of secrets that a value for a path sets."""
    if is_secret(annotation_of(Settings, tuple(path))) and not isinstance(value, dict):
        yield ".".join(path)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets([*path, str(key)], inner)


def describe() -> str:
    """Return what each setting means, with its default: a YAML file to start from."""
    lines = _describe(Settings, "")
    for section, kind in sections().items():
        lines += ["", f"# {kind.__doc__}", f"{section}:", *_describe(kind, "  ")]
    return "\n".join(lines) + "\n"


def _describe(kind: type[BaseModel], indent: str) -> list[str]:
    """Return the settings of a section, each under its description, unit and bounds."""
    lines: list[str] = []
    for key, field in kind.model_fields.items():
        if field.exclude or (kind is Settings and key in sections()):
            continue
        default = _plain(field.get_default(call_default_factory=True))
        value = yaml.safe_dump({key: default}, default_flow_style=False).strip()
        lines += [f"{indent}# {field.description}{bounds(field)}", f"{indent}{value}"]
    return lines


def bounds(field: FieldInfo) -> str:
    """Return the bounds of a setting's number, in brackets; "" if it has none."""
    found = [
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(bound, name, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def effective(settings: Settings) -> str:
    """Return the settings as YAML, secrets masked, also those within an address."""
    text = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return _PASSWORD.sub(r"\1:***@", text)


def sections() -> dict[str, type[BaseModel]]:
    """Return the sections of the settings by name."""
    return {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type)
        and issubclass(info.annotation, BaseModel)
        and not info.exclude
    }


def _read(file: Path) -> dict[str, Any]:
    where = f"configuration {printable(str(file))}"
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{where}: {(error.strerror or 'no access').lower()}") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{where}: larger than {MAX_BYTES} bytes")
    try:
        tree = parse(data.decode())
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"{where}: expected sections with keys")
    resolved: dict[str, Any] = typed(tree, Settings)
    return resolved


def _path_of_variable(name: str) -> str:
    """Return the dotted path that a variable names: STREAMER_ASR_BEAM_SIZE is asr.beam_size."""
    rest = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "_")
    if rest in Settings.model_fields:
        return rest
    for section, kind in sections().items():
        if rest.startswith(f"{section}_"):
            key = rest.removeprefix(f"{section}_")
            if key in kind.model_fields:
                return f"{section}.{key}"
            secret = kind.model_fields.get(key.removesuffix("_file"))
            if secret and is_secret(secret.annotation):
                return f"{section}.{key.removesuffix('_file')}.file"
    raise UserError(f"environment {name[:_SHOWN]}: no such setting; `streamer config` lists all")


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = tree[section] = {}
        tree = inner
    tree[key] = value


def _explain(error: Mapping[str, Any], file: Path | None, origins: Mapping[str, str]) -> str:
    path = _untagged([str(part) for part in error["loc"]])
    if error["type"] == "extra_forbidden":
        return _unknown(path, file, origins)
    message = _cut(str(error["msg"]).removeprefix("Value error, "), 3 * _SHOWN)
    shown = "" if next(_secrets(path, error["input"]), None) else f" (got {_short(error['input'])})"
    return f"{_where(path, file, origins)}: {message[0].lower()}{message[1:]}{shown}"


def _untagged(path: list[str]) -> list[str]:
    """Return a path without the name of a secret's form, which stands in no file."""
    for end in range(1, len(path)):
        if is_secret(annotation_of(Settings, path[:end])):
            return path[:end] + path[end + 1 :]
    return path


def _unknown(path: Sequence[str | int], file: Path | None, origins: Mapping[str, str]) -> str:
    fields = getattr(annotation_of(Settings, tuple(path[:-1])), "model_fields", {})
    known = ", ".join(key for key, field in fields.items() if not field.exclude)
    beside = f" (known here: {known})" if known else ""
    return f"{_where([*map(str, path)], file, origins)}: no such setting{beside}"


def _where(path: Sequence[str], file: Path | None, origins: Mapping[str, str]) -> str:
    """Return where a value comes from, and the path of its key."""
    dotted = ".".join(path)
    origin = next(
        (o for p, o in origins.items() if dotted == p or dotted.startswith(f"{p}.")), None
    )
    where = origin or (f"configuration {printable(str(file))}" if file else "configuration")
    return f"{where}: {_cut(dotted)}"


def _short(value: Any) -> str:
    """Return a value as it is shown: cut before it is written out, since it may be huge."""
    if isinstance(value, str):
        return repr(value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    if isinstance(value, dict | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    return _cut(repr(value))


def _cut(text: str, most: int = _SHOWN) -> str:
    text = printable(text)
    return text if len(text) <= most else f"{text[:most]}..."
