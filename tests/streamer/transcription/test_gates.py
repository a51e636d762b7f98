"""The shape of invented text, and of what people really say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.transcription.gates import LOOP_WORDS, invented

RATE = 8.0


@pytest.mark.parametrize(
    "text",
    [
        "thank you very much thank you very much thank you very much",
        "no no no no no no no no no no",
        "I said okay okay okay okay okay okay okay okay okay okay okay okay",
        "Bye. Bye. Bye. Bye. Bye. bye bye BYE, bye! Bye?",
        "well " + "you know what " * 4,
    ],
)
def test_a_loop_is_invented(text):
    assert "loop" in invented(text.split(), 60.0, RATE)


@pytest.mark.parametrize(
    "text",
    [
        "no no no no",
        "very very very good",
        "I don't know I don't know I don't know",
        "yes yes yes I said yes yes yes I did and I would say yes yes yes again",
        "",
    ],
)
def test_people_repeat_themselves_too(text):
    assert invented(text.split(), 60.0, RATE) == ""


def test_nobody_speaks_that_fast():
    words = [f"word{number}" for number in range(30)]
    assert "30 words in 2.0 s" in invented(words, 2.0, RATE)
    assert invented(words, 4.0, RATE) == ""


def test_a_short_cry_may_have_its_words():
    assert invented(["oh", "my", "god"], 0.15, RATE) == ""


@given(
    phrase=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6),
    before=st.lists(st.sampled_from("hijkl"), max_size=5),
    after=st.lists(st.sampled_from("mnopq"), max_size=5),
)
def test_a_loop_is_found_wherever_it_stands(phrase, before, after):
    times = max(3, -(-LOOP_WORDS // len(phrase)))
    words = [*before, *(phrase * times), *after]
    assert "loop" in invented(words, 1000.0, RATE)


@given(st.lists(st.text(min_size=1, max_size=8), unique_by=str.casefold, max_size=40))
def test_words_that_never_return_are_no_loop(words):
    distinct = [f"{number}{word}" for number, word in enumerate(words)]
    assert invented(distinct, 1000.0, RATE) == ""


@given(st.lists(st.sampled_from(["secret", "word"]), min_size=12, max_size=40))
def test_the_reason_never_tells_the_words(words):
    reason = invented(words, 0.1, RATE)
    assert reason
    assert "secret" not in reason
