import ssl
from pathlib import Path

import pytest

from streamer.errors import UserError
from streamer.mqtt.address import broker
from streamer.settings import load as configuration
from streamer.settings import tree as config

SECRET, AWKWARD = "open sesame", "yes: #1"


def settings(environment: dict[str, str] | None = None, **values) -> config.Mqtt:
    overrides = {f"mqtt.{key}": value for key, value in values.items()}
    return configuration.load(environment=environment or {}, overrides=overrides).mqtt


@pytest.mark.parametrize(
    ("url", "host", "port", "root", "username"),
    [
        ("mqtt://broker", "broker", 1883, "streamer/n", None),
        ("mqtts://ann@broker/home/calls/", "broker", 8883, "home/calls/n", "ann"),
        ("mqtt://a%40b@[::1]:1884/x", "::1", 1884, "x/n", "a@b"),
        ("ws://broker/x", "broker", 80, "x/n", None),
        ("wss://broker:9001/x", "broker", 9001, "x/n", None),
    ],
)
def test_urls(tmp_path, url, host, port, root, username):
    found = broker(settings(node="n", url=url))
    assert (found.host, found.port, found.topics.root, found.username) == (
        host,
        port,
        root,
        username,
    )
    assert (found.tls is not None) == url.startswith(("mqtts", "wss"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://h:99999",
        "mqtt://h/a?b",
        "mqtt://h/a?",
        "mqtt://h/a/#",
        "mqtt://h/a/%23",
        "tcp://h",
        "mqtt://[",
        "mqtt://h/+",
    ],
)
def test_refuses_invalid_urls(url):
    with pytest.raises(UserError, match="MQTT"):
        broker(settings(url=url))


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(UserError, match=r"password\.file") as caught:
        broker(settings(), "mqtt://ann:secret@broker")
    assert "secret" not in str(caught.value)


def test_the_password_of_the_environment_is_taken_as_it_stands():
    found = broker(settings({"STREAMER_MQTT_PASSWORD": AWKWARD}, url="mqtt://ann@h"))
    assert found.password == AWKWARD
    assert "yes" not in repr(found)


def test_the_password_of_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    assert broker(settings(url="mqtt://a@h", password={"file": file})).password == SECRET


def test_the_password_of_systemd(tmp_path, monkeypatch):
    (tmp_path / "mqtt-password").write_text(SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert broker(settings(url="mqtt://a@h")).password == SECRET


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a\nb\n"])
def test_refuses_a_file_without_a_password(tmp_path, content):
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"password\.file"):
        broker(settings(url="mqtt://a@h", password={"file": file}))


def test_a_secret_on_the_command_line_is_refused():
    with pytest.raises(UserError, match="command line"):
        settings(password=SECRET)


def test_the_effective_settings_hide_the_password():
    loaded = configuration.load(environment={"STREAMER_MQTT_PASSWORD": SECRET})
    assert SECRET not in configuration.effective(loaded)


def test_tls_checks_certificate_and_host_unless_told_otherwise():
    context = broker(settings(url="mqtts://h")).tls
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not broker(settings(url="mqtts://h", check_host=False)).tls.check_hostname


@pytest.mark.parametrize("name", ["ca", "certificate"])
def test_refuses_files_that_are_not_certificates(tmp_path, name):
    file = tmp_path / "nonsense"
    file.write_text("nonsense")
    with pytest.raises(UserError, match=f"mqtt.{name}"):
        broker(settings(url="mqtts://h", **{name: file}))
    with pytest.raises(UserError, match="no such file"):
        broker(settings(url="mqtts://h", **{name: Path("/no/such")}))


@pytest.mark.parametrize("node", ["a/b", "a b", "+", "state"])
def test_refuses_invalid_node_names(node):
    with pytest.raises(UserError, match=r"mqtt\.node"):
        broker(settings(url="mqtt://h", node=node))


def test_host_checking_cannot_be_switched_off_without_tls():
    with pytest.raises(UserError, match="no effect without TLS"):
        broker(settings(url="mqtt://h", check_host=False))
