import pytest

from tests.models.fast.agreement import Sides, classified_clips, classified_dialogues


@pytest.fixture(scope="module")
def sides():
    return Sides()


def assert_agreed(pairs):
    pairs = list(pairs)
    assert len(pairs) > 30
    for plain, fast in pairs:
        assert fast.probabilities == pytest.approx(plain.probabilities, abs=1e-4)
    same = sum(plain.label == fast.label for plain, fast in pairs)
    assert same >= 0.999 * len(pairs)


def test_fast_forms_agree_on_clips(sides, shared_data):
    assert_agreed(classified_clips(sides, shared_data, every=200))


def test_fast_forms_agree_on_dialogues(sides, shared_data):
    assert_agreed(classified_dialogues(sides, shared_data, "meld", every=200))
