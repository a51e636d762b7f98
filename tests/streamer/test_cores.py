"""How many cores this process may use."""

import os

import pytest

from streamer.cores import available

MINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, MINE),
        ({"cpu.max": "max 100000"}, MINE),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "99999900000 100000"}, MINE),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, MINE),
        ({"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu.max": "nonsense"}, MINE),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path, files, count):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert available(tmp_path) == count
