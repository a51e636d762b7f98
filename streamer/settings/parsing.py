"""YAML as settings need it: small, without surprises, and every text as it was written.

Built from the parser's events: no tags, anchors or aliases, bounded in size and depth. A plain scalar keeps its text
until `typed` knows which setting it is for, so that a user name may be `0123` and a node `2026-01-01`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr

MAX_BYTES = 100_000
MAX_DEPTH = 20

_MAX_OPEN = 10 * MAX_DEPTH
"""Brackets open at once, also within texts: the parser takes seconds for some thousands before it says anything."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


class Plain(str):
    """A scalar without quotes: text, number, truth value or null."""

    __slots__ = ()


def parse(text: str) -> Any:
    """Parse one YAML document into dictionaries, lists, `Plain` and `str`.

    Raises:
        ValueError: It is not YAML, or more than settings need; the message says what and where.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    if _open_brackets(text) > _MAX_OPEN:
        raise ValueError(f"more than {MAX_DEPTH} levels")
    try:
        events = iter([*yaml.parse(text, Loader=yaml.SafeLoader)])
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"not YAML: {line}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())[:100]}") from None
    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        return None
    tree = _node(next(events), events, 0)
    next(events)
    if isinstance(next(events), yaml.StreamEndEvent):
        return tree
    raise ValueError("not YAML: several documents")


def _open_brackets(text: str) -> int:
    """Return how many brackets are open at once at most."""
    depth = most = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most


def _node(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    line = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
    if depth > MAX_DEPTH:
        raise ValueError(f"{line}more than {MAX_DEPTH} levels")
    if getattr(event, "anchor", None):
        raise ValueError(f"{line}anchors and aliases are not supported")
    if getattr(event, "tag", None):
        raise ValueError(f"{line}tags (!...) are not supported")
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value) if event.style else Plain(event.value)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_node(item, events, depth + 1))
        return items
    tree: dict[str, Any] = {}
    while not isinstance(item := next(events), yaml.MappingEndEvent):
        key = _node(item, events, depth + 1)
        if not isinstance(key, str):
            raise ValueError(f"{line}a key that is no text")  # noqa: TRY004 - wrong YAML
        if key in tree:
            raise ValueError(f"{line}{key[:100]}: stands twice")
        tree[str(key)] = _node(next(events), events, depth + 1)
    return tree


def typed(value: Any, annotation: Any) -> Any:
    """Resolve the plain scalars of a parsed value for the setting that it is for.

    Args:
        value: As `parse` gives it.
        annotation: The setting's type; None: of no known setting.
    """
    kinds = [*alternatives(annotation)]
    if isinstance(value, Plain):
        if value in _NULL and (NoneType in kinds or not is_text(annotation)):
            return None
        return str(value) if _takes_text(value, kinds) else resolve(value)
    if isinstance(value, list):
        inner = next((args[0] for kind in kinds if (args := get_args(kind))), None)
        return [typed(item, inner) for item in value]
    if isinstance(value, dict):
        return {key: typed(item, _of_key(key, kinds)) for key, item in value.items()}
    return value


def resolve(text: str) -> Any:
    """Return the null, truth value or number that a plain scalar stands for; else its text."""
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else str(text)


def is_text(annotation: Any) -> bool:
    """Return whether a setting is a text: it keeps what was written."""
    kinds = {*alternatives(annotation)} - {NoneType}
    return bool(kinds) and kinds <= {str, Path, SecretStr}


def is_secret(annotation: Any) -> bool:
    """Return whether a setting must never be shown."""
    return SecretStr in alternatives(annotation)


def annotation_of(root: type[BaseModel], path: "list[str] | tuple[str | int, ...]") -> Any:
    """Return the type of the setting at a path; None if there is none."""
    kind: Any = root
    for part in path:
        kind = _of_key(part, [*alternatives(kind)])
    return kind


def _takes_text(value: str, kinds: list[Any]) -> bool:
    if any(get_origin(kind) is Literal and value in get_args(kind) for kind in kinds):
        return True
    return any(kind in {str, Path, SecretStr} for kind in kinds) and not {int, float} & {*kinds}


def alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types that a setting may have, without what only narrows them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for kind in get_args(annotation):
            yield from alternatives(kind)
    else:
        yield annotation


def _of_key(key: str | int, kinds: list[Any]) -> Any:
    """Return the type of what stands under a key (or an index) of one of these types."""
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel) and key in kind.model_fields:
            return kind.model_fields[str(key)].annotation
        if get_origin(kind) is tuple:
            return get_args(kind)[0]
        if get_origin(kind) in {dict, Mapping}:
            return get_args(kind)[1]
    return None
