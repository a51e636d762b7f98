"""What the commands that train and measure a system share: their options, and what they do with their figures."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tools.data.cache import DEFAULT_CACHE
from tools.evaluate.output import write_json


def add_common_arguments(
    parser: argparse.ArgumentParser, *, out: str, backbones: str, default: str | None
) -> None:
    """Declare the options.

    Args:
        parser: Of the command.
        out: What `--out` is for.
        backbones: What a bundle's networks are used for.
        default: The bundle, or None.
    """
    parser.add_argument("--out", type=Path, required=True, help=out)
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--backbones", default=default, metavar="BUNDLE", help=backbones)
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def report(arguments: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Print the figures, and write them where that was asked for."""
    write_json(arguments.json, result)
    print(json.dumps(result, indent=2))
