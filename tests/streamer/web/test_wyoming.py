"""The `wyoming` package's own client against the server."""

import pytest

from tests.streamer.web.serving import free_port, samples, server

pytest.importorskip("uvicorn")
asr = pytest.importorskip("wyoming.asr")
audio = pytest.importorskip("wyoming.audio")
wyoming_client = pytest.importorskip("wyoming.client")
info = pytest.importorskip("wyoming.info")


@pytest.fixture(scope="module")
def port(random_bundle):
    port = free_port()
    options = (
        "--wyoming",
        f"tcp://127.0.0.1:{port}",
        "--set",
        "live.max_lag=60",
        "--set",
        "web.max_ahead=300",
    )
    with server(random_bundle, *options):
        yield port


async def test_describes_itself(port):
    async with wyoming_client.AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(info.Describe().event())
        described = info.Info.from_event(await client.read_event())
    assert described.asr[0].name == "streamer"
    assert described.asr[0].installed


async def test_transcribes_with_the_emotion_in_the_context(port):
    voice = samples()[:, 1].tobytes()
    form = {"rate": 16_000, "width": 2, "channels": 1}
    async with wyoming_client.AsyncTcpClient("127.0.0.1", port) as client:
        for _ in range(2):  # one connection serves several commands
            await client.write_event(asr.Transcribe(language="en").event())
            await client.write_event(audio.AudioStart(**form).event())
            for start in range(0, len(voice), 2_048):
                chunk = audio.AudioChunk(audio=voice[start : start + 2_048], **form)
                await client.write_event(chunk.event())
            await client.write_event(audio.AudioStop().event())
            transcript = asr.Transcript.from_event(await client.read_event())
            spoken = transcript.context["utterances"]
            assert spoken
            assert all(each["type"] == "utterance" for each in spoken)
