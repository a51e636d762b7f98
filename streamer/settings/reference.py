"""The reference of all settings as a page: docs/configuration.md."""

from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from streamer.settings.load import bounds, sections
from streamer.settings.parsing import alternatives
from streamer.settings.tree import Settings

_HEAD = """# Settings

One tree of settings, from a YAML file (`--config FILE`, or the name of one that comes with streamer), then the
environment, then the command line; the later one counts.

| where | `asr.beam_size` as an example |
|---|---|
| file | `asr: {beam_size: 3}` |
| environment | `STREAMER_ASR_BEAM_SIZE=3` |
| command line | `--set asr.beam_size=3` |
| Python | `streamer.load_settings(overrides={"asr.beam_size": 3})` |

`streamer config` prints what counts, secrets masked; `streamer config --describe` a file to start from. Texts are what
was written: `node: 0123` is no number. A file has at most 100 kB and 20 levels, no tags, anchors or aliases. An unknown
key, a value out of its bounds and a secret on the command line are refused in one line that names the key, with exit
code 2.

This page is printed by `streamer config --reference`, and a test compares them.
"""


def reference() -> str:
    """Return the page: a table for each section."""
    parts = [_HEAD, "## General\n", _TABLE, *_rows(Settings.model_fields)]
    for name, kind in sections().items():
        parts += [f"\n## {name}\n", f"{kind.__doc__}\n", _TABLE, *_rows(kind.model_fields)]
    return "\n".join(parts) + "\n"


_TABLE = "| setting | default | meaning |\n|---|---|---|"


def _rows(fields: dict[str, FieldInfo]) -> list[str]:
    return [
        f"| `{name}` | {_default(field)} | {_meaning(field)} |"
        for name, field in fields.items()
        if not field.exclude and not (fields is Settings.model_fields and name in sections())
    ]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | dict | list):
        return "empty" if not value else f"`{value}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    choices = [
        f"`{choice}`"
        for kind in alternatives(field.annotation)
        if get_origin(kind) is Literal
        for choice in get_args(kind)
    ]
    among = f"; one of {', '.join(choices)}" if choices else ""
    return f"{field.description}{bounds(field)}{among}".replace("|", "\\|")
