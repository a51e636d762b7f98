"""The terms of models that are not for every use."""

from dataclasses import replace

import pytest

from streamer.runtime.terms import terms_at_first_use
from streamer_models.bundle import Bundle
from streamer_models.sound_network import SOUNDS


@pytest.fixture
def bundle(random_bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return replace(Bundle.load(random_bundle), license="non-commercial research; see MODEL_CARD.md")


def test_says_the_terms_once(bundle):
    (line,) = terms_at_first_use(bundle)
    assert "non-commercial research; see MODEL_CARD.md" in line
    assert terms_at_first_use(bundle) == []


def test_says_them_again_for_another_version(bundle):
    terms_at_first_use(bundle)
    assert terms_at_first_use(replace(bundle, version="99"))


@pytest.mark.parametrize("open_terms", ["", "Apache-2.0; see MODEL_CARD.md", "MIT", "CC BY 4.0"])
def test_is_silent_where_every_use_is_allowed(bundle, open_terms):
    assert terms_at_first_use(replace(bundle, license=open_terms)) == []


def test_says_them_each_time_where_nothing_can_be_stored(bundle, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert terms_at_first_use(bundle)
    assert terms_at_first_use(bundle)


def test_says_the_terms_of_every_model_that_restricts(bundle):
    free = replace(bundle, license="Apache-2.0")
    assert [line.split(":")[0] for line in terms_at_first_use(free, bundle, SOUNDS)] == [
        f"model {bundle.name}",
        "model sounds-1",
    ]
    assert terms_at_first_use(free, bundle, SOUNDS) == []
