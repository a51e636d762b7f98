"""Options of `streamer listen`."""

import argparse
from pathlib import Path

import pytest

from streamer.commands.listen import _flac


def test_recordings_are_named_for_what_they_are():
    assert _flac("call.FLAC") == Path("call.FLAC")
    with pytest.raises(argparse.ArgumentTypeError, match=r"name it call\.flac"):
        _flac("call.mp3")
