"""`python -m tools.evaluate report`: one page, complete in itself, from the JSON that other evaluations wrote."""

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

from streamer.errors import UserError
from tools.evaluate import drawings
from tools.evaluate.details import KEY, from_json
from tools.evaluate.metrics import SCALARS

MAX_BYTES = 200_000_000

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}
h1{font-size:1.6rem} h2{margin-top:3rem;border-top:1px solid #cdd3dc;padding-top:1rem} h3{font-size:1rem}
table{border-collapse:collapse;margin:.5rem 0}
th,td{padding:.2rem .6rem;text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left} thead th{border-bottom:1px solid #9aa4b2}
.figures{display:flex;flex-wrap:wrap;gap:2rem}
figure{margin:0} figcaption{max-width:22rem;color:#4a5565;font-size:.85rem}
svg text{font:11px system-ui,sans-serif;fill:#1c2430}
small{color:#4a5565}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="JSON", help="what evaluations wrote with --json"
    )
    parser.add_argument("--out", type=Path, required=True, help="the page, such as report.html")
    parser.add_argument("--title", default="Evaluation", help="its heading")


def run(arguments: argparse.Namespace) -> None:
    """Read, draw, write."""
    sections = [section(path.stem, read_result(path)) for path in arguments.results]
    try:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(page(arguments.title, sections), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{arguments.out}: cannot be written ({error.strerror})") from error
    print(f"{arguments.out}: {len(sections)} evaluations")


def read_result(path: Path) -> dict[str, Any]:
    """Return the content of an evaluation's JSON.

    Raises:
        UserError: Not there, or not that.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: more than {MAX_BYTES} bytes")
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as an evaluation's JSON: {error}") from error
    if not isinstance(result, dict) or not all(
        isinstance(result.get(name), dict) and "value" in result[name] for name in SCALARS
    ):
        raise UserError(
            f"{path}: has no {', '.join(SCALARS)}; a report shows evaluations of emotion labels"
            " (speech, conversations, recordings, iemocap), not of segmentation or transcription"
        )
    return result


def page(title: str, sections: list[str]) -> str:
    """Return the whole page."""
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n"
        f"<h1>{escape(title)}</h1>\n"
        "<p>In brackets: 95&nbsp;% intervals that resample dialogues or speakers. UA is the mean recall of the "
        "classes, ECE the expected calibration error.</p>\n" + "\n".join(sections) + "</html>\n"
    )


def section(name: str, result: dict[str, Any]) -> str:
    """Return one evaluation: its figures, and what can be drawn of them."""
    bundle = result.get("bundle") or {}
    about = f"{bundle.get('name', 'unknown bundle')}, {str(bundle.get('sha256', ''))[:12]}"
    parts = [f"<h2>{escape(name)}</h2><p><small>{escape(about)}</small></p>", _table(result)]
    figures = []
    if KEY in result:
        judgements = from_json(result[KEY])
        if len(judgements.truth):
            figures = [
                _figure(drawings.confusion(judgements), "Rows: truth. Columns: what was said."),
                _figure(
                    drawings.reliability(judgements),
                    "Reliability: of the utterances judged with a confidence, the share that was right. "
                    "The wider a dot, the more utterances.",
                ),
                _figure(
                    drawings.risk_coverage(judgements),
                    "Risk and coverage: the share of errors among the most confident utterances.",
                ),
            ]
    speakers = (result.get("groups") or {}).get("speaker")
    if speakers:
        figures.append(
            _figure(
                drawings.spread({who: part["ua"]["value"] for who, part in speakers.items()}),
                "UA of each speaker.",
            )
        )
    parts.append(f"<div class=figures>{''.join(figures)}</div>")
    return "\n".join(parts)


def _table(result: dict[str, Any]) -> str:
    rows = [("all", result)]
    for grouping, groups in (result.get("groups") or {}).items():
        rows += [(f"{grouping} {name}", part) for name, part in groups.items()]
    recalls = list(result.get("recall") or {})
    titles = ("n", *SCALARS, *(f"recall {label}" for label in recalls))
    head = "".join(f"<th>{escape(title)}</th>" for title in ("part", *titles))
    body = "".join(_row(name, part, recalls) for name, part in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(name: str, part: dict[str, Any], recalls: list[str]) -> str:
    cells = [str(part.get("n", ""))]
    for scalar in SCALARS:
        measure = part[scalar]
        cell = _number(measure.get("value"))
        if measure.get("low") is not None:
            cell += f" <small>[{_number(measure['low'])}, {_number(measure['high'])}]</small>"
        cells.append(cell)
    cells += [_number((part.get("recall") or {}).get(label)) for label in recalls]
    return f"<tr><td>{escape(name)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _number(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"  # noqa: RUF001 - a dash in a table


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"
