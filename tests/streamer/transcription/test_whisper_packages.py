"""Models inside installed packages: found by metadata, never imported, checked by hash."""

import hashlib
import sys

import pytest

from streamer.errors import UserError
from streamer.transcription import whisper_models, whisper_packages
from streamer.transcription.whisper_packages import PackagedFile, find_packaged, read_packaged

CONTENT = {"config.json": b"{}", "model.bin": b"0123456789", "tokenizer.json": b"[]"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A model in two packages, its weights in two parts; importing either would fail."""
    for number in (1, 2):
        package = tmp_path / f"odd_words_{number}"
        package.mkdir()
        (package / "__init__.py").write_text("raise ImportError", encoding="utf-8")
        metadata = tmp_path / f"odd_words_{number}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: odd-words-{number}\nVersion: 1.0\n", encoding="utf-8"
        )
    (tmp_path / "odd_words_1" / "part1").write_bytes(CONTENT["model.bin"][:6])
    (tmp_path / "odd_words_2" / "part2").write_bytes(CONTENT["model.bin"][6:])
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "odd_words_2" / name).write_bytes(CONTENT[name])
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    parts = ("odd-words-1", "odd_words_1/part1"), ("odd-words-2", "odd_words_2/part2")
    files = {
        name: PackagedFile(
            parts if name == "model.bin" else (("odd-words-2", f"odd_words_2/{name}"),),
            hashlib.sha256(content).hexdigest(),
        )
        for name, content in CONTENT.items()
    }
    monkeypatch.setattr(whisper_packages, "PACKAGES", {"base": files})
    return tmp_path


def test_joins_the_parts_of_a_file(installed):
    assert find_packaged("base") == installed / "odd_words_1"
    assert read_packaged("base") == CONTENT
    assert whisper_models.find("base").megabytes() == pytest.approx(10e-6)


def test_is_the_model_that_auto_takes(installed):
    found = whisper_models.find("auto")
    assert (found.name, found.origin) == ("base", "package")
    assert found.read() == CONTENT


@pytest.mark.parametrize("missing", ["odd_words_1/part1", "odd_words_2/tokenizer.json"])
def test_is_not_found_without_all_of_its_files(installed, missing):
    (installed / missing).unlink()
    assert find_packaged("base") is None
    assert whisper_models.find("base") is None


def test_a_file_that_is_not_the_known_one_is_refused_by_name(installed):
    (installed / "odd_words_2" / "part2").write_bytes(b"6780")
    with pytest.raises(UserError, match=r"model\.bin of the package odd-words-1, odd-words-2"):
        read_packaged("base")


def test_other_models_are_in_no_package():
    assert find_packaged("small.en") is None


def test_the_words_that_setup_installs_are_the_known_ones(shipped_words):
    assert set(read_packaged("tiny.en")) == {
        "config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    }
