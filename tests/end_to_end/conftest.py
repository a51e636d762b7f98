"""What programs under test run with."""

import os

import pytest


@pytest.fixture(scope="module")
def environment(random_bundle):
    """A small bundle, and no recogniser."""
    return os.environ | {
        "STREAMER_EMOTION_BUNDLE": str(random_bundle),
        "STREAMER_ASR_BACKEND": "none",
    }
