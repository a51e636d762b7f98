"""Several recordings, replayed by one process."""

import argparse
import asyncio
import os
import signal

import pytest

from streamer.commands import INTERRUPTED, OK, replay

RECORDINGS = ["first.wav", "second.wav"]


@pytest.mark.parametrize("done", [1, 2], ids=["others wait", "the last one"])
async def test_an_interruption_is_told_by_the_exit_code_if_anything_was_left_undone(
    monkeypatch, done
):
    replayed = []

    async def replay_it(recording, _options, _engine, control, _progress):
        replayed.append(recording)
        if len(replayed) == done:
            os.kill(os.getpid(), signal.SIGINT)
            stopped = asyncio.Event()
            with control.on_stop(stopped.set):
                await asyncio.wait_for(stopped.wait(), 60)
        return OK  # it had come to its end already

    monkeypatch.setattr(replay, "_replay", replay_it)
    code = await replay._replay_all(RECORDINGS, argparse.Namespace(jobs=1), None)
    assert replayed == RECORDINGS[:done]
    assert code == (INTERRUPTED if done < len(RECORDINGS) else OK)
