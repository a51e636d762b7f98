"""The virtual sound card, or a skipped test that says why there is none."""

import contextlib

import pytest

from tools.virtual_card import VirtualCard, missing


@contextlib.contextmanager
def virtual_card(directory, others=()):
    """A card for the tests of a module."""
    if reason := missing():
        pytest.skip(f"no virtual sound card: {reason}")
    with VirtualCard(directory, others) as card:
        yield card
