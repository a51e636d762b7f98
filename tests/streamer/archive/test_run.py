"""The driver: what was tabled, what was left by a run that was killed, what is done again."""

import pytest

from streamer.archive import run as archive
from streamer.archive.analysis import Analysed, Target
from streamer.archive.engines import Finished
from streamer.archive.ledger import Ledger
from streamer.archive.plan import Job
from streamer.files import write_atomically
from streamer.settings.tree import Emotion, Settings
from tests.event_streams import conversation

parquet = pytest.importorskip("pyarrow.parquet")


class Writes:
    """An engine that writes the events of one composed conversation for every call."""

    def run(self, jobs, settings, target):
        for job in jobs:
            path = target.events(job.name)
            path.parent.mkdir(exist_ok=True)
            events = [e.model_copy(update={"session": job.name}) for e in conversation()]
            write_atomically(path, "".join(event.to_json() + "\n" for event in events))
            yield Finished(job, Analysed(job.name, 10.0, written=True))

    def stop(self):
        pass


class Killed(BaseException):
    pass


@pytest.fixture
def jobs():
    return [Job(f"/calls/{number}.wav", f"call-{number}", 100) for number in range(5)]


@pytest.fixture
def settings(random_bundle):
    return Settings(emotion=Emotion(bundle=str(random_bundle)))


def tabled(folder):
    return sorted(
        parquet.read_table(folder / "summaries", columns=["call", "speaker"]).to_pylist(), key=str
    )


def test_a_call_is_tabled_once_wherever_the_run_before_was_killed(
    jobs, settings, tmp_path, monkeypatch
):
    """The part of the tables is written; that it is, not yet."""
    target = Target(tmp_path)

    def die(*_):
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(Ledger, "finish_part", die)
        with pytest.raises(Killed):
            archive.run(jobs[:3], Writes(), settings, target)
    assert len({row["call"] for row in tabled(tmp_path)}) == 3
    archive.run(jobs, Writes(), settings, target)
    rows = tabled(tmp_path)
    assert len({row["call"] for row in rows}) == 5
    assert len({str(row) for row in rows}) == len(rows)


def test_a_call_that_is_done_again_is_tabled_once_whatever_the_size_of_parts(
    jobs, settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(archive, "_PART", 2)
    target = Target(tmp_path)
    archive.run(jobs, Writes(), settings, target)
    before = tabled(tmp_path)
    changed = settings.model_copy(
        update={"emotion": Emotion(bundle=settings.emotion.bundle, threshold=0.9)}
    )
    assert archive.run(jobs, Writes(), changed, target).done == 5
    assert tabled(tmp_path) == before


def test_what_killed_writers_left_is_removed(jobs, settings, tmp_path):
    target = Target(tmp_path)
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / ".x1.part").write_text("half a l")
    archive.run(jobs, Writes(), settings, target)
    assert sorted(path.name for path in (tmp_path / "events").iterdir()) == [
        f"{job.name}.jsonl" for job in jobs
    ]


def test_says_what_is_to_be_done_before_it_is(jobs, settings, tmp_path):
    begun = []
    archive.run(jobs[:2], Writes(), settings, Target(tmp_path))
    archive.run(jobs, Writes(), settings, Target(tmp_path), begin=begun.extend)
    assert begun == jobs[2:]


def test_a_call_whose_events_were_removed_is_done_again(jobs, settings, tmp_path):
    target = Target(tmp_path)
    archive.run(jobs, Writes(), settings, target)
    target.events(jobs[1].name).unlink()
    before = tabled(tmp_path)
    assert archive.run(jobs, Writes(), settings, target).done == 1
    assert tabled(tmp_path) == before


def test_equal_recordings_in_two_places_keep_their_rows(jobs, settings, tmp_path, monkeypatch):
    """They have one session id: it is made of the recording."""
    real = Writes.run

    def run(self, jobs, settings, target):
        for news in real(self, jobs, settings, target):
            path = target.events(news.job.name)
            write_atomically(path, path.read_text().replace(news.job.name, "same"))
            yield Finished(news.job, Analysed("same", 10.0, written=True))

    monkeypatch.setattr(Writes, "run", run)
    target = Target(tmp_path)
    archive.run(jobs[:2], Writes(), settings, target)
    before = tabled(tmp_path)
    target.events(jobs[0].name).unlink()
    archive.run(jobs[:2], Writes(), settings, target)
    assert tabled(tmp_path) == before
    assert set(parquet.read_table(tmp_path / "utterances")["call"].to_pylist()) == {
        job.name for job in jobs[:2]
    }
