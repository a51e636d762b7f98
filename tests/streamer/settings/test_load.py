"""Settings: file < environment < command line, each key known, typed and in bounds."""

import pytest
import yaml

from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings import shipped as resources
from streamer.settings.load import effective, load, scalar
from streamer.settings.parsing import MAX_BYTES
from streamer.settings.reference import reference
from streamer.settings.secrets import read_secret
from streamer.settings.tree import Settings
from tests.conftest import REPOSITORY


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


@pytest.mark.parametrize("name", ["STREAMER_ASR_BEAM_SIZE", "STREAMER_ASR__BEAM_SIZE"])
def test_a_variable_names_a_key_of_several_words(name):
    assert load(environment={name: "4"}).asr.beam_size == 4


def test_a_variable_names_a_key_of_no_section():
    assert load(environment={"STREAMER_CORES": "3"}).usable_cores == 3
    assert load(environment={}).usable_cores >= 1


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
        ("asr: {threads: 2}", "asr.threads: no such setting (known here: backend"),
        ("sinks: {queue: 10}", "sinks: no such setting"),
        ("asr: {beam_size: 2026-01-01}", "asr.beam_size: input should be a valid integer"),
        ("asr: {beam_size: !!int zz}", "line 1: tags (!...) are not supported"),
        ("asr: {beam_size: " + "9" * 5000 + "}", "asr.beam_size: "),
        ("asr: {beam_size: .nan}", "asr.beam_size: "),
        ("live: {max_lag: .inf}", "live.max_lag: "),
        ("asr: " + "[" * 3000, "more than 20 levels"),
        ("asr: " + "{a: " * 30 + "}" * 30, "more than 20 levels"),
        ("a: &x [1]\nb: *x", "anchors and aliases are not supported"),
        ("asr: {model: a}\nasr: {model: b}", "line 1: asr: stands twice"),
        (
            "asr: {language: [en, de]}",
            "asr.language: input should be a valid string (got list of 2)",
        ),
        ("a: 1\n---\nb: 2", "several documents"),
        ("x" * 900 + ": 1", "x...: no such setting"),
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
    assert len(str(caught.value)) < 800


def test_a_mistake_says_where_it_came_from():
    with pytest.raises(UserError, match=r"^STREAMER_ASR_BEAM_SIZE: asr.beam_size"):
        load(environment={"STREAMER_ASR_BEAM_SIZE": "0"})
    with pytest.raises(UserError, match=r"STREAMER_NONSENSE: no such setting"):
        load(environment={"STREAMER_NONSENSE": "1"})
    with pytest.raises(UserError, match=r"^command line: asr.beam_size"):
        load(environment={}, overrides={"asr.beam_size": 0})


@pytest.mark.parametrize("text", ["0123", "12345", "2026-01-01", "yes", "1e3", "a: b", "[x"])
def test_text_settings_keep_what_was_written(text):
    assert load(environment={"STREAMER_MQTT_NODE": text}).mqtt.node == text
    value = scalar("--set", text, "mqtt.node")
    assert load(environment={}, overrides={"mqtt.node": value}).mqtt.node == text
    assert load(environment={"STREAMER_MQTT_NODE": "null"}).mqtt.node is None


def test_texts_in_a_file_keep_what_was_written(tmp_path):
    text = "mqtt: {url: 0123, node: 2026-01-01, protocol: 5, qos: 0, password: 0x10}"
    mqtt = load(write(tmp_path / "a.yaml", text), environment={}).mqtt
    assert (mqtt.url, mqtt.node, mqtt.protocol, mqtt.qos) == ("0123", "2026-01-01", "5", 0)
    assert mqtt.password.get_secret_value() == "0x10"
    text = (
        "privacy: {channels: {1: exclude}}\nsegmentation: {detector_options: {aggressiveness: 3}}"
    )
    settings = load(write(tmp_path / "b.yaml", text), environment={})
    assert settings.privacy.channels == {"1": "exclude"}
    assert settings.segmentation.detector_options == {"aggressiveness": 3}


def test_a_secret_may_be_a_file(tmp_path):
    (tmp_path / "key").write_text("0x10\n")
    key = str(tmp_path / "key")
    tree = write(tmp_path / "a.yaml", f"web: {{token: {{file: {key}}}}}")
    for settings in (
        load(tree, environment={}),
        load(environment={"STREAMER_WEB_TOKEN_FILE": key}),
        load(environment={}, overrides={"web.token.file": scalar("--set", key, "web.token.file")}),
    ):
        assert read_secret(settings.web.token, "web.token") == "0x10"
        assert effective(settings).count(key) == 1


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("[x]", r"web\.token: input should be a valid string$"),
        ("{}", r"web\.token\.file: field required"),
        ("{file: a, b: 1}", r"web\.token\.b: no such setting"),
    ],
)
def test_a_wrong_secret_is_not_repeated(tmp_path, token, message):
    with pytest.raises(UserError, match=message):
        load(write(tmp_path / "a.yaml", f"web: {{token: {token}}}"), environment={})


def test_secrets_never_stand_on_the_command_line():
    for path, text in (("mqtt.password", "x"), ("mqtt", "{password: x}")):
        with pytest.raises(UserError, match=r"mqtt\.password: a secret"):
            load(environment={}, overrides={path: scalar("--set", text, path)})


def test_secrets_are_never_shown():
    secret = {"STREAMER_MQTT_PASSWORD": "hunter2"}
    settings = load(environment=secret, overrides={"mqtt.url": "mqtt://me:hunter2@host/x"})
    shown = configuration.effective(settings)
    assert "hunter2" not in shown
    assert "mqtt://me:***@host/x" in shown
    with pytest.raises(UserError) as caught:
        load(environment={}, overrides={"mqtt": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_an_absent_or_huge_file_is_a_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "none.yaml", environment={})
    huge = write(tmp_path / "huge.yaml", "#" * (MAX_BYTES + 1))
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


def test_the_reference_page_is_that_of_the_settings():
    page = REPOSITORY / "docs" / "configuration.md"
    assert page.read_text() == reference(), "streamer config --reference > docs/configuration.md"


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
        for name, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.description, name


def test_a_configuration_is_found_by_path_or_name(tmp_path):
    file = write(tmp_path / "mine.yaml", "")
    assert resources.configuration(str(file)) == file
    with pytest.raises(UserError, match=r"no such file.*call-centre"):
        resources.configuration("nowhere")
    assert yaml.safe_load(resources.configuration("call-centre").read_text())
