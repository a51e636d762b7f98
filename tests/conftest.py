"""What all tests share."""

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# No test depends on a timing. A run of the checks tries the same examples every time, so that a
# failure concerns the change at hand; `pytest --hypothesis-profile=explore` draws new ones.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Undo what a program that a test runs in this process changes of logging: levels, the form of lines."""
    root, ours = logging.getLogger(), logging.getLogger("streamer")
    formatters = [(handler, handler.formatter) for handler in root.handlers]
    yield
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.NOTSET)
    for handler, formatter in formatters:
        handler.setFormatter(formatter)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development recordings and conversations, which are not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the development data (../shared/data) is not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an English Whisper model with random weights, for `asr.model`."""
    from tests.whisper_model import make_whisper

    return make_whisper(tmp_path_factory.mktemp("whisper") / "tiny-random.en")


@pytest.fixture(scope="session")
def shipped_words() -> str:
    """The name of the Whisper model that the extra `words` installs, for `asr.model`."""
    from streamer.transcription.whisper_packages import find_packaged

    if find_packaged("tiny.en") is None:
        pytest.skip("the extra `words` is not installed")
    return "tiny.en"


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small bundle with random weights, for `emotion.bundle`."""
    from tests.bundles import make_bundle

    return make_bundle(tmp_path_factory.mktemp("bundle"))
