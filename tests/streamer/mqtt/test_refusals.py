"""A connection that the broker refuses is an error with its reason, not an endless attempt."""

import asyncio
import shutil
import subprocess

import pytest

from streamer.errors import UserError
from tests.brokers import Recorder, wait_for
from tests.certificates import Authority
from tests.event_streams import conversation

SECRET = "open sesame"  # noqa: S105 - of a broker that lives as long as a test


async def refused(sink) -> str:
    with pytest.raises(UserError) as caught:
        await sink.__aenter__()
    return str(caught.value)


async def works(sink) -> None:
    async with sink:
        for event in conversation(10):
            await sink.emit(event)
    assert sink.waiting == 0


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture
def passwords(tmp_path):
    """A password file with one user, ann; the second file holds her password."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed")
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", file, "ann", SECRET], check=True, capture_output=True)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "wrong").write_text("wrong")
    return file


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_wrong_password(make_broker, make_sink, passwords, tmp_path, protocol):
    broker = make_broker("allow_anonymous false", f"password_file {passwords}")
    options = {"user": "ann", "protocol": protocol}
    assert "not authori" in await refused(make_sink(broker, **options))
    wrong = make_sink(broker, password={"file": tmp_path / "wrong"}, **options)
    assert "not authori" in await refused(wrong)
    await works(make_sink(broker, password={"file": tmp_path / "secret"}, **options))


async def test_reports_a_password_revoked_while_running_and_keeps_events(
    make_broker, make_sink, passwords, tmp_path
):
    broker = make_broker("allow_anonymous false", f"password_file {passwords}")
    good = passwords.read_text()
    reports = []
    sink = make_sink(broker, user="ann", password={"file": tmp_path / "secret"}, flush=20)
    sink.report = reports.append
    async with sink:
        broker.stop()
        passwords.write_text("")
        broker.start()
        await asyncio.to_thread(wait_for, lambda: reports)
        assert "not authori" in reports[0]
        for event in conversation(30):
            await sink.emit(event)
        broker.stop()
        passwords.write_text(good)
        broker.start()
        recorder = Recorder(broker, username="ann", password=SECRET)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()


async def test_refuses_to_start_without_the_right_to_publish(make_broker, make_sink, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite streamer/other/#\n")
    broker = make_broker("allow_anonymous true", f"acl_file {acl}")
    reason = await refused(make_sink(broker, protocol="5"))
    assert "streamer/desk/instance: not authori" in reason
    await works(make_sink(broker, node="other"))


async def test_without_the_right_to_read_a_node_still_publishes(make_broker, make_sink, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic write streamer/desk/#\n")
    await works(make_sink(make_broker("allow_anonymous true", f"acl_file {acl}")))


async def test_reports_a_forbidden_topic_and_keeps_events(make_broker, make_sink, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite streamer/#\ntopic deny streamer/desk/call/mood\n")
    broker = make_broker("allow_anonymous true", f"acl_file {acl}")
    reports = []
    sink = make_sink(broker, protocol="5", flush=20)
    sink.report = reports.append
    async with sink:
        for event in conversation(30):
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: reports)
        assert "streamer/desk/call/mood: not authori" in reports[0]
        acl.write_text("topic readwrite streamer/#\n")
        await asyncio.to_thread(broker.restart)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)


async def test_tls_with_the_right_certificate(make_broker, make_sink, authority):
    broker = make_broker(listener=tls(authority, authority.sign("localhost")))
    await works(make_sink(broker, scheme="mqtts", ca=authority.file))
    await works(make_sink(broker, scheme="mqtts", ca=authority.file, protocol="3.1.1"))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("expired", "certificate has expired"),
        ("foreign", "unable to get local issuer certificate"),
        ("host", "Hostname mismatch"),
    ],
)
async def test_tls_with_a_wrong_certificate(
    make_broker, make_sink, authority, tmp_path, case, reason
):
    other = Authority(tmp_path / "other", "other")
    certificate = {
        "expired": lambda: authority.sign("localhost", days=-1),
        "foreign": lambda: other.sign("localhost"),
        "host": lambda: authority.sign("elsewhere"),
    }[case]()
    broker = make_broker(listener=tls(authority, certificate))
    reports = await refused(make_sink(broker, scheme="mqtts", ca=authority.file))
    assert f"the broker's certificate: {reason}" in reports
    if case == "host":
        await works(make_sink(broker, scheme="mqtts", ca=authority.file, check_host=False))


async def test_tls_with_client_certificates(make_broker, make_sink, authority, tmp_path):
    listener = (*tls(authority, authority.sign("localhost")), "require_certificate true")
    broker = make_broker(listener=listener)
    shared = {"scheme": "mqtts", "ca": authority.file}
    assert "certificate required" in await refused(make_sink(broker, **shared))
    stranger = Authority(tmp_path / "other", "other").sign("desk")
    reason = await refused(make_sink(broker, certificate=stranger.file, key=stranger.key, **shared))
    assert "TLS: " in reason
    own = authority.sign("desk")
    await works(make_sink(broker, certificate=own.file, key=own.key, **shared))


async def test_hints_at_tls_on_one_side_only(make_broker, make_sink, authority, caplog):
    plain = make_broker()
    async with make_sink(plain, scheme="mqtts", ca=authority.file, flush=0):
        assert "is TLS spoken there?" in caplog.text
    secured = make_broker(listener=tls(authority, authority.sign("localhost")))
    async with make_sink(secured, flush=0):
        assert "does it want TLS?" in caplog.text


def tls(authority, certificate) -> tuple[str, ...]:
    return (
        f"cafile {authority.file}",
        f"certfile {certificate.file}",
        f"keyfile {certificate.key}",
    )
