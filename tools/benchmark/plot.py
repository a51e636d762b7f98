"""The figures of the benchmarks as one picture: a panel for each benchmark that has one."""

import argparse
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamer.errors import UserError

Document = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "figures", type=Path, metavar="FIGURES.json", help="as a benchmark's --json wrote them"
    )
    parser.add_argument("picture", type=Path, metavar="FILE.png", help="what is drawn")


def run(arguments: argparse.Namespace) -> None:
    """Read and draws."""
    require_matplotlib()
    try:
        document = json.loads(arguments.figures.read_text(encoding="utf-8"))
        name = document["benchmark"]
    except OSError as error:
        raise UserError(f"{arguments.figures}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{arguments.figures}: not the figures of a benchmark") from None
    draw(document["results"] if name == "all" else {name: document}, arguments.picture)


def require_matplotlib() -> None:
    """Require it before anything is measured.

    Raises:
        UserError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UserError("drawing needs matplotlib: pip install --group bench")


def draw(results: Mapping[str, Document], file: Path) -> None:
    """Draw what there is.

    Args:
        results: By the command's name, what it wrote.
        file: The picture; its suffix gives the format.

    Raises:
        UserError: Nothing there can be drawn, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [name for name in _PANELS if name in results]
    if not panels:
        raise UserError(f"nothing to draw: pictures are of {', '.join(_PANELS)}")
    figure = Figure(figsize=(9.0, 3.2 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    for name, axes in zip(panels, figure.subplots(len(panels), squeeze=False)[:, 0], strict=True):
        _PANELS[name](axes, results[name])
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: {error}") from None


def _analysis(axes: Any, document: Document) -> None:
    stages = document["stages"]
    left = 0.0
    for stage in stages:
        axes.barh("stages", stage["cpu_ms"], left=left, label=stage["name"])
        left += stage["cpu_ms"]
    for whole in document["whole"]:
        axes.barh(whole["name"], whole["cpu_ms"], color="tab:gray")
    axes.set(title=_title("Analysis", document), xlabel="CPU ms for each second of conversation")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _capacity(axes: Any, document: Document) -> None:
    for asr in document["streams"]:
        steps = sorted(
            (step for step in document["steps"] if step["asr"] == asr), key=lambda s: s["streams"]
        )
        streams = [step["streams"] for step in steps]
        (line,) = axes.plot(streams, [s["p95_ms"] for s in steps], "o-", label=f"{asr}, p95")
        axes.plot(
            streams, [s["p50_ms"] for s in steps], ":", color=line.get_color(), label=f"{asr}, p50"
        )
    axes.axhline(document["bound_ms"], color="tab:gray", linewidth=0.8)
    axes.set(
        title=_title(f"Live conversations, cores used: {document['cores']}", document),
        xlabel="conversations",
        ylabel="ms, endpoint to event",
        yscale="log",
    )
    axes.legend(fontsize="small")


def _soak(axes: Any, document: Document) -> None:
    points = document["points"]
    counts = [point["utterances"] for point in points]
    axes.plot(counts, [point["memory_mb"] for point in points], color="tab:blue")
    axes.set(title=_title("One long conversation", document), xlabel="utterances")
    axes.set_ylabel("resident memory, MB", color="tab:blue")
    axes.set_ylim(0, 1.2 * max(point["memory_mb"] for point in points))
    costs = axes.twinx()
    costs.plot(counts, [point["cpu_ms"] for point in points], color="tab:red")
    costs.set_ylabel("CPU ms / utterance", color="tab:red")
    costs.set_ylim(bottom=0)


def _archive(axes: Any, document: Document) -> None:
    results = document["results"]
    axes.barh([r["name"] for r in results], [r["loaded_hours_per_hour"] for r in results])
    axes.set(title=_title("Archive", document), xlabel="hours of calls in an hour, once loaded")


def _startup(axes: Any, document: Document) -> None:
    results = document["results"]
    axes.barh([r["name"] for r in results], [r["wall_s"] for r in results])
    axes.set(title=_title("Start", document), xlabel="seconds")


def _title(what: str, document: Document) -> str:
    machine = document["machine"]
    return f"{what} (machine: {machine['cores']} cores, load average {machine['load']:.1f})"


_PANELS: dict[str, Callable[[Any, Document], None]] = {
    "analysis": _analysis,
    "capacity": _capacity,
    "soak": _soak,
    "archive": _archive,
    "startup": _startup,
}
