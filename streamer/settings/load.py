"""Where the settings come from: a YAML file, then the environment, then the command line.

What is not in the tree of `config`, or out of its bounds, is an error that names the key's path.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from streamer.errors import UserError
from streamer.settings.tree import Settings

ENVIRONMENT_PREFIX = "STREAMER_"
MAX_FILE_BYTES = 1_000_000


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """The effective settings.

    Args:
        file: a YAML file; None for the defaults.
        environment: variables `STREAMER_SECTION_KEY`, their values read as YAML; None for the process's own.
        overrides: dotted paths and their values, as the command line gives them.

    Raises:
        UserError: one line with the path of each wrong key and where it came from.
    """
    tree: dict[str, Any] = _read(file) if file else {}
    origins: dict[str, str] = {}
    for name, value in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = _path_of_variable(name)
            _put(tree, path, scalar(f"environment {name}", value, path))
            origins[path] = name
    for path, value in (overrides or {}).items():
        if _is_secret(path.split(".")):
            raise UserError(f"{path}: a secret, and other users can read the command line")
        _put(tree, path, value)
        origins[path] = "command line"
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(dict(e), file, origins) for e in error.errors()]
        raise UserError("; ".join(lines)) from None


def scalar(origin: str, text: str, path: str = "") -> Any:
    """Read a value written as YAML: `0.5`, `true`, `null`, `[agent, customer]`.

    Secrets, and settings that are texts, keep what was written: `0123` is no number there.

    Args:
        origin: where it stands.
        text: the value.
        path: the setting's dotted path.

    Raises:
        UserError: if it is not YAML.
    """
    annotation = _annotation(path.split("."))
    if "SecretStr" in str(annotation):
        return text
    is_text = str in (annotation, *get_args(annotation))
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        if is_text:
            return text
        raise UserError(f"{origin}: not a YAML value") from None
    return text if is_text and value is not None else value


def describe() -> str:
    """What each setting means, with its default: a YAML file to start from."""
    lines: list[str] = []
    for section, kind in _sections().items():
        lines += [f"# {kind.__doc__}", f"{section}:"]
        for key, field in kind.model_fields.items():
            bounds = ", ".join(
                f"{sign} {getattr(bound, name)}"
                for bound in field.metadata
                for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
                if hasattr(bound, name)
            )
            default = field.get_default(call_default_factory=True)
            value = yaml.safe_dump({key: _plain(default)}, default_flow_style=False).strip()
            lines.append(f"  # {field.description}" + (f" ({bounds})" if bounds else ""))
            lines.append(f"  {value}")
        lines.append("")
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def effective(settings: Settings) -> str:
    """The settings as YAML, secrets masked."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: info.annotation
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"configuration {file}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise UserError(f"configuration {file}: larger than {MAX_FILE_BYTES} bytes")
    try:
        tree = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"configuration {file}: not YAML: {reason}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UserError(f"configuration {file}: expected sections with keys")
    return tree


def _path_of_variable(name: str) -> str:
    """The dotted path that a variable names: STREAMER_ASR_NO_SPEECH is asr.no_speech."""
    rest = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "_")
    for section, kind in _sections().items():
        if rest.startswith(f"{section}_"):
            key = rest.removeprefix(f"{section}_")
            if key in kind.model_fields:
                return f"{section}.{key}"
    raise UserError(f"environment {name}: no such setting; `streamer config` lists all")


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            inner = tree[section] = {}
        tree = inner
    tree[key] = value


def _explain(error: Mapping[str, Any], file: Path | None, origins: Mapping[str, str]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    origin = next((o for p, o in origins.items() if path == p or path.startswith(f"{p}.")), None)
    where = origin or (f"configuration {file}" if file else "configuration")
    if error["type"] == "extra_forbidden":
        known = ", ".join(_keys_beside(error["loc"]))
        return f"{where}: {path}: no such setting" + (f" (known here: {known})" if known else "")
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = "" if _is_secret(error["loc"]) else f" (got {error['input']!r})"
    return f"{where}: {path}: {message[0].lower()}{message[1:]}{shown}"


def _keys_beside(path: Sequence[str | int]) -> list[str]:
    kind: Any = Settings
    for part in path[:-1]:
        fields = getattr(kind, "model_fields", {})
        if part not in fields:  # inside a list of one of several kinds
            return []
        kind = fields[part].annotation
    return list(kind.model_fields)


def _is_secret(path: Sequence[str | int]) -> bool:
    return "SecretStr" in str(_annotation(path))


def _annotation(path: Sequence[str | int]) -> Any:
    """The type of a setting; None if there is no such setting."""
    kind: Any = Settings
    for part in path:
        fields = getattr(kind, "model_fields", {})
        if part not in fields:
            return None
        kind = fields[part].annotation
    return kind
