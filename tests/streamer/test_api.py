"""The Python API: models loaded once, conversations as iterations over events."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
import torch

import streamer
from streamer import api
from streamer.api import Engine
from streamer.clock import WallClock
from streamer.errors import UserError
from streamer.runtime.processes import Processes
from streamer.settings.tree import Asr, Emotion, Settings
from streamer.sources.recording.source import RecordingSource
from tests.audio_files import write_audio
from tests.end_to_end.conversations import check_promises, comparable, engine_for, two_speakers


def settings(bundle, device):
    return Settings(asr=Asr(backend="none"), emotion=Emotion(bundle=str(bundle), device=device))


def test_the_emotion_model_runs_on_the_cpu_unless_asked_otherwise(random_bundle):
    with Engine.load(settings(random_bundle, Emotion().device), print) as engine:
        assert {p.device.type for p in engine.bundle.model.parameters()} == {"cpu"}


def test_a_gpu_that_is_not_there_is_told(random_bundle, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"emotion\.device cuda: torch finds no GPU"):
        Engine.load(settings(random_bundle, "cuda"), print)


def test_the_model_goes_to_the_gpu_that_is_there(random_bundle, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: asked.append(device) or self)
    with Engine.load(settings(random_bundle, "cuda"), print):
        assert asked == ["cuda"]


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    return write_audio(tmp_path_factory.mktemp("call") / "call.wav", two_speakers(), 16_000)


@pytest.fixture
def engine(random_bundle):
    with engine_for(random_bundle) as loaded:
        yield loaded


async def test_analyze_gives_the_events_of_a_recording(call, engine):
    found = [
        event
        async for event in streamer.analyze(call, channels=("agent", "customer"), engine=engine)
    ]
    check_promises(found)
    assert found[0].channels == ["agent", "customer"]
    again = [event async for event in streamer.analyze(str(call), engine=engine)]
    assert len(again) == len(found)
    assert streamer.view(found).session == found[0].session


async def test_analyze_loads_the_models_that_the_settings_name(call, random_bundle):
    settings = streamer.load_settings(
        environment={}, overrides={"emotion.bundle": str(random_bundle), "asr.backend": "none"}
    )
    found = [event async for event in streamer.analyze(call, settings=settings)]
    check_promises(found)


async def test_processes_give_the_events_that_threads_give(call, random_bundle):
    chosen = {"emotion.bundle": str(random_bundle), "asr.backend": "none", "cores": 2}
    settings = streamer.load_settings(environment={}, overrides=chosen)

    async def events(engine):
        return [event async for event in streamer.analyze(call, session="call", engine=engine)]

    with await asyncio.to_thread(Engine.load, settings, processes=True) as engine:
        assert isinstance(engine.runtime._audio, Processes)
        by_processes = await asyncio.gather(events(engine), events(engine))
    with await asyncio.to_thread(Engine.load, settings) as engine:
        by_threads = comparable(await events(engine))
    assert [*map(comparable, by_processes)] == [by_threads] * 2


async def test_leaving_the_iteration_ends_the_conversation(call, engine):
    source = RecordingSource(call, WallClock(), speed=1.0)
    async with contextlib.aclosing(streamer.analyze(source, speed=1.0, engine=engine)) as found:
        async for event in found:
            assert event.type == "session_started"
            break
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_slow_program_gets_every_event(call, engine, monkeypatch):
    monkeypatch.setattr(api, "_AHEAD", 1)
    found = []
    async for event in streamer.analyze(call, engine=engine):
        found.append(event)
        await asyncio.sleep(0.001)
    check_promises(found)


async def test_a_stopped_conversation_ends_properly(call, engine):
    control, found = streamer.Control(), []
    async for event in streamer.analyze(call, speed=1.0, engine=engine, control=control):
        found.append(event)
        if event.type == "session_started":
            control.stop("interrupted")
    check_promises(found)
    assert found[-1].reason == "interrupted"


async def test_what_cannot_be_analysed_is_a_user_error(engine, tmp_path):
    with pytest.raises(streamer.UserError, match="no such file"):
        await anext(streamer.analyze(tmp_path / "none.wav", engine=engine))
    with pytest.raises(TypeError, match="no such option of a source: colour"):
        await anext(streamer.analyze("call.wav", engine=engine, colour="red"))
    with pytest.raises(TypeError, match="one or the other"):
        await anext(streamer.analyze("call.wav", engine=engine, settings=engine.settings))


async def test_listen_without_a_microphone_is_a_user_error(engine):
    with pytest.raises(streamer.UserError):
        await anext(streamer.listen("no such microphone", engine=engine))


def test_every_public_name_is_there():
    for name in streamer.__all__:
        assert getattr(streamer, name) is not None
    assert dir(streamer) == sorted(streamer.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        streamer.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, streamer; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "numpy", "pydantic", "av", "rich", "asyncio", "yaml"}
