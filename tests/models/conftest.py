"""A small bundle: in memory, saved, and a copy of it that a test may change."""

import shutil

import pytest

from tests.models.tiny_bundle import make_bundle


@pytest.fixture(scope="module")
def made():
    return make_bundle()


@pytest.fixture(scope="module")
def saved(made, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundle")
    made.save(directory)
    return directory


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")
