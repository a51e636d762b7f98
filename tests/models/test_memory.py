import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.heads.calibration import Calibration
from streamer_models.memory import ConversationState, Embedded, Judge
from streamer_models.zoo.dutta2022 import Dialogue
from tests.models.tiny_bundle import make_model

SIZE = 5


@pytest.fixture(scope="module")
def judge():
    return Judge(make_model(), Calibration(both=1.5, audio=2.0, text=1.2), threshold=0.3)


def utterances(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        kind = int(torch.randint(0, 3, (), generator=g))
        audio, text = torch.randn(100, generator=g), torch.randn(100, generator=g)
        made.append(Embedded(i * 7 % 3, None if kind == 2 else audio, None if kind == 1 else text))
    return made


def filled(n, seed=0):
    state = ConversationState(SIZE)
    for utterance in utterances(n, seed):
        state.add(utterance)
    return state


def same(a, b):
    assert (a.label, a.abstained, a.modalities) == (b.label, b.abstained, b.modalities)
    assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)


@given(n=st.integers(1, 16), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_step_by_step_equals_all_windows_at_once(judge, n, seed):
    said = utterances(n, seed)
    zero = torch.zeros(100)
    whole = Dialogue(
        audio=torch.stack([zero if u.audio is None else u.audio for u in said]),
        text=torch.stack([zero if u.text is None else u.text for u in said]),
        has_audio=torch.tensor([u.audio is not None for u in said]),
        has_text=torch.tensor([u.text is not None for u in said]),
        speaker=torch.tensor([u.speaker for u in said]),
    )
    with torch.inference_mode():
        expected = judge.calibration.probabilities(
            judge.model.dialogue(whole), whole.has_audio, whole.has_text
        )
    state = judge.new_state()
    for utterance, probabilities in zip(said, expected, strict=True):
        judgement = judge.step(state, utterance)
        assert list(judgement.probabilities.values()) == pytest.approx(
            probabilities.tolist(), abs=1e-5
        )


def test_a_judgement_says_what_it_is(judge):
    judgement = judge.step(judge.new_state(), utterances(1)[0])
    assert list(judgement.probabilities) == list(judge.model.labels)
    assert sum(judgement.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert judgement.confidence == max(judgement.probabilities.values())
    assert judgement.confidence == judgement.probabilities[judgement.label]


def test_it_abstains_under_the_threshold_only(judge):
    confidence = judge.step(judge.new_state(), utterances(1)[0]).confidence
    for threshold, abstained in ((0.0, False), (confidence, False), (confidence + 1e-6, True)):
        strict = Judge(judge.model, judge.calibration, threshold)
        assert strict.step(strict.new_state(), utterances(1)[0]).abstained is abstained


def test_modalities_are_those_of_the_judged_utterance(judge):
    audio, text = torch.randn(2, 100)
    state = judge.new_state()
    assert judge.step(state, Embedded(0, audio, text)).modalities == ("audio", "text")
    assert judge.step(state, Embedded(0, audio, None)).modalities == ("audio",)
    assert judge.step(state, Embedded(0, None, text)).modalities == ("text",)
    assert judge.step(state, Embedded(0, None, None)).modalities == ()


def test_text_that_comes_later_gives_the_judgement_of_text_at_once(judge):
    said = utterances(9)
    late = replace(said[6], audio=torch.ones(100), text=torch.ones(100))
    at_once, filled_in = judge.new_state(), judge.new_state()
    for utterance in (*said[:6], late):
        at_once.add(utterance)
    expected = judge([at_once.window(6)])[0]

    for utterance in (*said[:6], replace(late, text=None), *said[7:]):
        number = filled_in.add(utterance)
    assert number == 8
    without = judge([filled_in.window(6)])[0]
    filled_in.set_text(6, torch.ones(100))
    same(judge([filled_in.window(6)])[0], expected)
    assert without.probabilities != pytest.approx(expected.probabilities, abs=1e-4)


@given(n=st.integers(1, 20), late=st.integers(0, SIZE - 1))
def test_a_late_judgement_is_that_of_its_time(n, late):
    late = min(late, n - 1)
    state = ConversationState(SIZE)
    said = utterances(n)
    windows = [state.window(state.add(utterance)) for utterance in said]
    assert state.window(n - 1 - late) == windows[n - 1 - late]
    assert windows[n - 1 - late] == tuple(said[max(0, n - late - SIZE) : n - late])


def test_what_is_forgotten_or_not_yet_said_is_an_error():
    state = filled(12)
    assert len(state) == 12
    for number in (-1, 0, 12 - SIZE - 1, 12):
        with pytest.raises(LookupError, match="not among the last 5"):
            state.window(number)
        with pytest.raises(LookupError):
            state.set_text(number, torch.zeros(100))
    with pytest.raises(LookupError):
        ConversationState(SIZE).window(0)


def test_a_text_is_filled_in_once():
    state = ConversationState(SIZE)
    number = state.add(Embedded(0, torch.zeros(100)))
    state.set_text(number, torch.zeros(100))
    with pytest.raises(ValueError, match="has a text"):
        state.set_text(number, torch.zeros(100))


@pytest.mark.parametrize("n", [0, 2, 30])
def test_an_estimate_while_someone_speaks_is_the_step_it_would_be_and_leaves_no_trace(judge, n):
    state = filled(n)
    utterance = Embedded(1, torch.ones(100))
    before = state.copy()
    estimate = judge([state.window_with(utterance)])[0]
    same(estimate, judge.step(before, utterance))
    assert len(state) == n
    assert len(before) == n + 1


def test_a_batch_of_conversations_is_each_by_itself(judge):
    windows = [filled(n, seed=n).window(n - 1) for n in (1, 3, 20)]
    for together, window in zip(judge(windows), windows, strict=True):
        same(together, judge([window])[0])
    assert judge([]) == []


@given(n=st.integers(0, 25), after=st.integers(1, 8))
@settings(max_examples=25)
def test_a_state_can_be_stored_and_goes_on_as_before(n, after):
    state = filled(n)
    file = io.BytesIO()
    np.savez(file, **state.to_arrays())
    file.seek(0)
    restored = ConversationState.from_arrays(np.load(file, allow_pickle=False))
    for utterance in utterances(after, seed=1):
        assert state.add(utterance) == restored.add(utterance)
    for ours, theirs in zip(
        state.window(n + after - 1), restored.window(n + after - 1), strict=True
    ):
        assert ours.speaker == theirs.speaker
        assert ours.modalities == theirs.modalities
        for a, b in ((ours.audio, theirs.audio), (ours.text, theirs.text)):
            assert a is b or torch.equal(a, b)


@pytest.mark.parametrize(
    "change",
    [
        {"size": np.array(0)},
        {"size": np.array(2**63, np.uint64)},
        {"size": np.zeros(3)},
        {"count": np.array(2)},
        {"speaker": np.zeros(2, np.int64)},
        {"audio": np.full((3, 100), np.nan, np.float32), "has_audio": np.ones(3, np.bool_)},
        {"audio": np.zeros((3, 100)), "has_audio": np.ones(3, np.bool_)},
        {"text": np.array(["a", "b", "c"]), "has_text": np.ones(3, np.bool_)},
    ],
)
def test_arrays_that_make_no_state_are_refused(change):
    arrays = filled(3).to_arrays()
    ConversationState.from_arrays(arrays)
    with pytest.raises(ValueError, match=r"."):
        ConversationState.from_arrays({**arrays, **change})
    with pytest.raises(ValueError, match="speaker"):
        ConversationState.from_arrays({k: v for k, v in arrays.items() if k != "speaker"})


def test_a_copy_goes_its_own_way():
    state = filled(4)
    twin = state.copy()
    twin.add(Embedded(0, torch.ones(100)))
    assert (len(state), len(twin)) == (4, 5)
    assert len(state.window(3)) == 4


@pytest.mark.parametrize(
    "vector",
    [torch.zeros(2, 3), torch.zeros(3, dtype=torch.float64), torch.tensor([float("nan")])],
)
def test_an_embedding_that_is_none_is_refused(vector):
    with pytest.raises(ValueError, match="embedding"):
        Embedded(0, vector)


def test_a_window_of_another_model_is_refused(judge):
    with pytest.raises(ValueError, match="1 to 5"):
        judge([tuple(utterances(6))])
    with pytest.raises(ValueError, match="1 to 5"):
        judge([()])


def test_the_papers_form_cannot_judge_a_stream():
    with pytest.raises(ValueError, match="whole conversation"):
        Judge(make_model(window=None, speaker=False), Calibration(), 0.0)
