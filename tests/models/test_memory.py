from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer_models.memory import ConversationState, UtteranceEmbedding

SIZE = 5


def utterances(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        kind = int(torch.randint(0, 3, (), generator=g))
        audio, text = torch.randn(100, generator=g), torch.randn(100, generator=g)
        made.append(
            UtteranceEmbedding(i * 7 % 3, None if kind == 2 else audio, None if kind == 1 else text)
        )
    return made


def filled(n, seed=0):
    state = ConversationState(SIZE)
    for utterance in utterances(n, seed):
        state.add(utterance)
    return state


@given(n=st.integers(1, 20), late=st.integers(0, SIZE - 1))
def test_window_holds_nothing_added_after_its_utterance(n, late):
    late = min(late, n - 1)
    state = ConversationState(SIZE)
    said = utterances(n)
    windows = [state.window(state.add(utterance)) for utterance in said]
    assert state.window(n - 1 - late) == windows[n - 1 - late]
    assert windows[n - 1 - late] == tuple(said[max(0, n - late - SIZE) : n - late])


def test_refuses_utterances_that_are_forgotten_or_to_come():
    state = filled(12)
    assert len(state) == 12
    for number in (-1, 0, 12 - SIZE - 1, 12):
        with pytest.raises(LookupError, match="not among the last 5"):
            state.window(number)
        with pytest.raises(LookupError):
            state.set_text(number, torch.zeros(100))
    with pytest.raises(LookupError):
        ConversationState(SIZE).window(0)


def test_fills_in_a_text_once():
    state = ConversationState(SIZE)
    number = state.add(UtteranceEmbedding(0, torch.zeros(100)))
    state.set_text(number, torch.ones(100))
    assert torch.equal(state.window(number)[-1].text, torch.ones(100))
    with pytest.raises(ValueError, match="has a text"):
        state.set_text(number, torch.zeros(100))


@pytest.mark.parametrize("n", [0, 2, 30])
def test_window_with_an_unfinished_utterance_leaves_no_trace(n):
    state, other = filled(n), filled(n)
    utterance = UtteranceEmbedding(1, torch.ones(100))
    window = state.window_with(utterance)
    assert len(state) == n
    number = other.add(utterance)
    assert [u.speaker for u in window] == [u.speaker for u in other.window(number)]
    assert window[-1] is utterance


@pytest.mark.parametrize(
    "vector",
    [
        torch.zeros(2, 3, 4),
        torch.zeros(0),
        torch.zeros(3, dtype=torch.float64),
        torch.tensor([float("nan")]),
    ],
)
def test_refuses_what_is_no_embedding(vector):
    with pytest.raises(ValueError, match="embedding"):
        UtteranceEmbedding(0, vector)


def test_names_the_modalities_of_an_utterance():
    vector, steps = torch.zeros(3), torch.zeros(2, 3)
    assert UtteranceEmbedding(0).modalities == ()
    assert UtteranceEmbedding(0, vector, steps).modalities == ("audio", "text")
    assert replace(UtteranceEmbedding(0, text=steps), video=steps).modalities == ("text", "video")
