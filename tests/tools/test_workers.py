"""Parts of a training in processes: their results, and what becomes of their failures."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from streamer.errors import UserError
from tools.training.parallel import Part, do_parts


def write(path: Path, text: str) -> None:
    sys.stdout.write(f"said {text}\n")
    path.write_text(f"{text} {torch.get_num_threads()} {os.getpid()}")


def complain(message: str) -> None:
    raise UserError(message)


def stumble() -> None:
    raise ZeroDivisionError("nothing left")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def linger(started: Path) -> None:
    started.write_text(str(os.getpid()))
    time.sleep(600)


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_part_is_done_by_one_thread(tmp_path, workers):
    files = [tmp_path / f"{number}.txt" for number in range(3)]
    parts = [Part(file.stem, write, (file, file.stem)) for file in files]
    do_parts("Parts", parts, tmp_path / "logs", workers=workers)
    said = [file.read_text().split() for file in files]
    assert [name for name, _, _ in said] == ["0", "1", "2"]
    assert {threads for _, threads, _ in said} == {"1"}
    if workers > 1:
        assert (tmp_path / "logs" / "1.txt").read_text() == "said 1\n"
        assert str(os.getpid()) not in {pid for _, _, pid in said}


def test_a_mistake_of_the_user_is_told_in_one_line(tmp_path):
    parts = [Part("bad", complain, ("no such file",))]
    with pytest.raises(UserError, match=r"^bad: no such file$"):
        do_parts("Parts", parts, tmp_path, workers=2)


@pytest.mark.parametrize(
    ("work", "said"), [(stumble, "ZeroDivisionError: nothing left"), (die, "exit code -9")]
)
def test_a_failure_says_where_and_ends_the_others(tmp_path, work, said):
    started = tmp_path / "started"
    parts = [Part("slow", linger, (started,)), Part("bad", work, ())]
    with pytest.raises(RuntimeError, match=rf"(?s)^bad: .*{said}"):
        do_parts("Parts", parts, tmp_path, workers=2)
    assert not started.exists() or not is_running(int(started.read_text()))


class DiesWhereItArrives:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def test_a_process_that_dies_before_it_begins_is_noticed(tmp_path):
    much = bytes(1_000_000)
    part = Part("stillborn", write, (DiesWhereItArrives(), much))
    with pytest.raises(RuntimeError, match=r"stillborn: .*exit code 3"):
        do_parts("Parts", [part], tmp_path, workers=2)


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where the tests themselves run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_all(tmp_path):
    started = tmp_path / "started"

    def interrupt() -> None:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        do_parts("Parts", [Part("slow", linger, (started,))], tmp_path, workers=2)
    thread.join()
    assert not is_running(int(started.read_text()))
