"""Where Whisper models are looked for, and what is said when there is none."""

import shutil
import socket

import huggingface_hub.constants
import pytest

from streamer.errors import UserError
from streamer.transcription import whisper_hub, whisper_models
from streamer.transcription.whisper_models import REPOSITORIES, ModelFiles, find, known, obtain

BASE = REPOSITORIES["base.en"]


def on_this_machine():
    return [entry.name for entry in known() if isinstance(entry, ModelFiles)]


def test_a_directory_comes_first(tiny_whisper, hub):
    found = obtain(str(tiny_whisper))
    assert (found.directory, found.origin) == (tiny_whisper, "directory")
    assert hub.requests == []


@pytest.mark.parametrize("name", whisper_models.NEEDED)
def test_a_directory_without_all_files_is_told_by_what_it_lacks(tiny_whisper, tmp_path, name):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_whisper, broken)
    (broken / name).unlink()
    with pytest.raises(UserError, match=name):
        find(str(broken))


def test_nothing_is_found_where_nothing_is(no_packages):
    assert find("base.en") is None
    assert find("auto") is None
    assert on_this_machine() == []


@pytest.mark.parametrize("name", ["bse.en", "/no/such/directory", "a/b/c", "../models"])
def test_a_name_that_no_model_has_is_an_error_that_lists_the_names(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"base\.en"):
        find(name)


def test_a_download_lands_in_the_cache_and_is_found_there_ever_after(
    tiny_whisper, hub, capfd, no_packages
):
    hub.repositories[BASE] = tiny_whisper
    first = obtain("base.en")
    assert first.origin == "hub"
    assert (first.directory / "model.bin").read_bytes() == (tiny_whisper / "model.bin").read_bytes()
    assert "%|" in capfd.readouterr().err
    assert on_this_machine() == ["base.en"]
    hub.requests.clear()
    second = obtain("base.en")
    assert (second.directory, second.origin) == (first.directory, "cache")
    assert hub.requests == []


def test_a_repository_by_its_own_name(tiny_whisper, hub):
    hub.repositories["someone/whisper-of-theirs"] = tiny_whisper
    assert obtain("someone/whisper-of-theirs").origin == "hub"


def test_a_repository_in_another_format_is_told_by_what_it_lacks(tmp_path, hub):
    (tmp_path / "pytorch").mkdir()
    (tmp_path / "pytorch" / "config.json").write_text("{}", encoding="utf-8")
    hub.repositories[BASE] = tmp_path / "pytorch"
    with pytest.raises(UserError, match=r"model\.bin"):
        obtain("base.en")


def test_a_download_that_breaks_off_can_be_resumed(tiny_whisper, hub):
    hub.repositories[BASE] = tiny_whisper
    hub.breaks_off = True
    with pytest.raises(UserError, match="broke off"):
        obtain("base.en")
    assert find("base.en") is None
    hub.breaks_off = False
    assert obtain("base.en").origin == "hub"


def test_the_environment_of_the_hub_can_forbid_asking_too(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
        obtain("base.en")
    assert hub.requests == []


def test_a_model_that_the_hub_does_not_have(hub):
    with pytest.raises(UserError, match=f"the hub has no {BASE}"):
        obtain("base.en")


def test_without_a_network_one_line_says_what_to_do(no_network):
    with pytest.raises(UserError, match=r"cannot be reached.*set asr\.model") as error:
        obtain("base.en")
    assert "\n" not in str(error.value)


def test_a_hub_that_never_answers_is_given_up_and_not_asked_again(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        with pytest.raises(UserError, match=r"does not answer|cannot be reached"):
            obtain("base.en")
    monkeypatch.setattr(whisper_hub, "_ask", lambda *_: pytest.fail("asked again"))
    with pytest.raises(UserError, match=r"does not answer|cannot be reached"):
        obtain("base.en")


def test_auto_takes_the_best_model_on_this_machine(tiny_whisper, hub, no_packages):
    hub.repositories = {REPOSITORIES[name]: tiny_whisper for name in ("tiny.en", "base.en", "tiny")}
    assert obtain("auto").name == "tiny.en"
    obtain("base.en")
    obtain("tiny")
    hub.requests.clear()
    assert obtain("auto").name == "base.en"
    assert obtain("auto", language="de").name == "tiny"
    assert obtain("auto", language=None).name == "tiny"
    assert hub.requests == []


@pytest.mark.parametrize(("language", "smallest"), [("en", "tiny.en"), ("de", "tiny")])
def test_auto_without_any_model_names_the_smallest(no_network, no_packages, language, smallest):
    with pytest.raises(UserError, match=rf"whisper model {smallest}: not on this machine"):
        obtain("auto", language=language)


def test_what_a_package_brings_is_not_asked_for(hub, shipped_words):
    found = obtain("tiny.en")
    assert (found.origin, found.name) == ("package", "tiny.en")
    assert hub.requests == []
