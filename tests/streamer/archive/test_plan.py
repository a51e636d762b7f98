"""Sources become jobs: each recording once, named the same in every run."""

import pytest

from streamer.archive.plan import job_name, plan
from streamer.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a.wav", 10), ("b.mp3", 30), ("notes.txt", 5), (".hidden.wav", 9)):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.wav").write_bytes(b"x" * 20)
    return tmp_path


def names(jobs, folder):
    return [job.source.removeprefix(f"{folder}/") for job in jobs]


def test_searches_folders_for_recordings_largest_first(folder):
    assert names(plan([str(folder)]), folder) == ["b.mp3", "deep/er/a.wav", "a.wav"]


def test_takes_files_globs_and_lists_each_recording_once(folder):
    (folder / "list.txt").write_text(f"{folder}/a.wav\n\n{folder}/deep\n")
    sources = [f"@{folder}/list.txt", f"{folder}/*.wav", f"{folder}/notes.txt"]
    assert names(plan(sources), folder) == ["deep/er/a.wav", "a.wav", "notes.txt"]


def test_gives_recordings_of_equal_names_different_results(folder):
    jobs = plan([str(folder)])
    assert len({job.name for job in jobs}) == len(jobs)
    assert job_name(f"{folder}/a.wav") == next(j.name for j in jobs if j.size == 10)


@pytest.mark.parametrize("source", ["nowhere", "no/*.wav", "@nowhere.txt", "nope://bucket/x"])
def test_says_what_is_not_there(folder, source):
    with pytest.raises(UserError, match=source.lstrip("@").replace("*", r"\*")):
        plan([source])


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no recordings there"):
        plan([str(tmp_path)])


def test_lists_object_stores():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/calls/one.ogg", b"12345")
    memory.pipe("/calls/two.ogg", b"123")
    memory.pipe("/calls/readme.txt", b"1")
    try:
        jobs = plan(["memory://calls"])
        assert [(job.source, job.size) for job in jobs] == [
            ("memory://calls/one.ogg", 5),
            ("memory://calls/two.ogg", 3),
        ]
        assert [job.size for job in plan(["memory://calls/t*.ogg"])] == [3]
    finally:
        memory.rm("/calls", recursive=True)


def test_a_name_costs_less_than_a_kilobyte(tmp_path):
    """100,000 of them fit in far less than 200 MB, before the first call begins."""
    import tracemalloc

    for number in range(2_000):
        (tmp_path / f"call-{number:06}.wav").touch()
    tracemalloc.start()
    jobs = plan([str(tmp_path)])
    used, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(jobs) == 2_000
    assert used < 1_000 * len(jobs)
    assert most < 2_000 * len(jobs)
