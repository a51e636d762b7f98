"""Settings: file < environment < command line, each key known, typed and in bounds."""

import pytest
import yaml

from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings import shipped as resources
from streamer.settings.load import load, scalar
from streamer.settings.tree import Settings


def write(path, text):
    path.write_text(text)
    return path


def test_the_command_line_beats_the_environment_which_beats_the_file(tmp_path):
    file = write(tmp_path / "a.yaml", "asr: {backend: none, beam_size: 2, model: tiny}")
    settings = load(
        file,
        environment={"STREAMER_ASR_BEAM_SIZE": "3", "STREAMER_ASR_MODEL": "small"},
        overrides={"asr.model": "medium"},
    )
    assert (settings.asr.backend, settings.asr.beam_size, settings.asr.model) == (
        "none",
        3,
        "medium",
    )


@pytest.mark.parametrize("name", ["STREAMER_ASR_NO_SPEECH", "STREAMER_ASR__NO_SPEECH"])
def test_a_variable_names_a_key_of_several_words(name):
    assert load(environment={name: "0.25"}).asr.no_speech == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asr: {bean_size: 2}", "asr.bean_size: no such setting"),
        ("asrr: {}", "asrr: no such setting"),
        ("alerts: {rules: [{name: x, when: gap, secs: 1}]}", "secs: no such setting"),
        ("alerts: {rules: [{name: x, when: rain}]}", "alerts.rules.0"),
        ("alerts: {webhook: 'ftp://host'}", "alerts.webhook"),
        ("asr: {beam_size: many}", "asr.beam_size: input should be a valid integer"),
        ("asr: {beam_size: 99}", "asr.beam_size: input should be less than or equal to 10"),
        ("asr: 3", "asr: "),
        ("- a list", "expected sections with keys"),
        ("asr: {", "not YAML"),
        ("segmentation: {detector: magic}", "segmentation.detector: no such voice detector"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_the_files_name_and_the_keys_path(
    tmp_path, text, message
):
    file = write(tmp_path / "mistake.yaml", text)
    with pytest.raises(UserError) as caught:
        load(file, environment={})
    assert message in str(caught.value)
    assert "mistake.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_says_where_it_came_from():
    with pytest.raises(UserError, match=r"^STREAMER_ASR_BEAM_SIZE: asr.beam_size"):
        load(environment={"STREAMER_ASR_BEAM_SIZE": "0"})
    with pytest.raises(UserError, match=r"STREAMER_NONSENSE: no such setting"):
        load(environment={"STREAMER_NONSENSE": "1"})
    with pytest.raises(UserError, match=r"^command line: asr.beam_size"):
        load(environment={}, overrides={"asr.beam_size": 0})


@pytest.mark.parametrize("text", ["0123", "12345", "2026-01-01", "yes", "1e3", "a: b", "[x"])
def test_text_settings_keep_what_was_written(text):
    assert load(environment={"STREAMER_MQTT_USERNAME": text}).mqtt.username == text
    value = scalar("--set", text, "mqtt.username")
    assert load(environment={}, overrides={"mqtt.username": value}).mqtt.username == text
    assert load(environment={"STREAMER_MQTT_USERNAME": "null"}).mqtt.username is None


def test_an_absent_or_huge_file_is_a_clear_line(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.yaml", environment={})
    huge = write(tmp_path / "huge.yaml", "#" * (configuration.MAX_FILE_BYTES + 1))
    with pytest.raises(UserError, match="larger than"):
        load(huge, environment={})


def test_an_empty_file_means_the_defaults(tmp_path):
    assert load(write(tmp_path / "empty.yaml", ""), environment={}) == Settings()


def test_what_is_printed_loads_to_the_same_settings(tmp_path):
    settings = load(environment={}, overrides={"privacy.channels": {"agent": "exclude"}})
    file = write(tmp_path / "printed.yaml", configuration.effective(settings))
    assert load(file, environment={}) == settings


def test_the_default_configuration_is_the_defaults_with_their_descriptions():
    shipped = resources.configuration("default")
    assert shipped.read_text() == configuration.describe()
    assert load(shipped, environment={}) == Settings()


@pytest.mark.parametrize(
    "path", sorted(resources.configurations().glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_configuration_that_comes_with_streamer_is_valid(path):
    load(path, environment={})


def test_the_call_centre_excludes_the_agent():
    settings = load(resources.configuration("call-centre"), environment={})
    assert settings.audio.channels == ("agent", "customer")
    assert settings.privacy.channels["agent"] == "exclude"


def test_every_setting_has_a_description():
    for section in Settings.model_fields.values():
        for name, field in section.annotation.model_fields.items():
            assert field.description, name


def test_a_configuration_is_found_by_path_or_name(tmp_path):
    file = write(tmp_path / "mine.yaml", "")
    assert resources.configuration(str(file)) == file
    with pytest.raises(UserError, match=r"no such file.*call-centre"):
        resources.configuration("nowhere")
    assert yaml.safe_load(resources.configuration("call-centre").read_text())
