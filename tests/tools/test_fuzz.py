"""A slice of the fuzzing, and that it finds what it looks for."""

import pytest

from tools.fuzz import bundles, commands, configurations, outboxes, recordings, running
from tools.fuzz.__main__ import main


@pytest.mark.parametrize(
    ("prepare", "count", "growth"),
    [
        (recordings.prepare, 24, running.GROWTH_LIMIT),
        (commands.prepare, 200, running.GROWTH_LIMIT),
        (outboxes.prepare, 40, running.GROWTH_LIMIT),
        (configurations.prepare, 40, running.GROWTH_LIMIT),
        (bundles.prepare, 4, bundles.GROWTH_LIMIT),
    ],
)
def test_nothing_fails_hangs_or_grows(prepare, count, growth):
    report = running.run(prepare, count, seed=0, growth=growth)
    assert len(report.cases) == count
    assert not report.failures, report


def fragile(folder):
    """A target with a fault of each kind."""

    def attempt(rng):
        match int(rng.integers(3)):
            case 0:
                raise KeyError("nobody expected this")
            case 1:
                held = bytearray(200_000_000)
                return f"held {len(held)}"
        return "fine"

    return attempt


def deadly(folder):
    """A target whose process dies."""

    def attempt(rng):
        import os

        os._exit(3)

    return attempt


def test_faults_are_named_by_their_number():
    report = running.run(fragile, 15, seed=0)
    kinds = {"KeyError" in case.failure or "MB" in case.failure for case in report.failures}
    assert kinds == {True}
    assert 2 < len(report.failures) < 15
    again = running.run(fragile, 1, 0, first=report.failures[0].number)
    assert again.cases[0].outcome == report.failures[0].outcome


def test_a_process_that_dies_costs_one_case():
    report = running.run(deadly, 2, seed=0)
    assert [case.outcome for case in report.cases] == ["crash", "crash"]
    assert "(3)" in report.cases[0].failure


def test_the_same_case_is_the_same_bytes():
    import numpy as np

    first, second = (commands.payload(np.random.default_rng([0, 7])) for _ in range(2))
    assert first == second


def test_the_command_prints_what_became_of_the_cases(capsys):
    assert main(["commands", "--count", "10"]) == 0
    assert "10 cases" in capsys.readouterr().out
