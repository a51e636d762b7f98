"""Words are shown once two transcripts in a row agree on them, and rarely change after that."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.transcription import Transcript
from streamer.transcription.stable import StableText

SENTENCES = st.lists(st.sampled_from(["where", "is", "my", "car", "parcel", "so"]), max_size=6)


def shown(*texts, language="en", status="ok"):
    """What is shown after each of the transcripts."""
    stable = StableText()
    after = []
    for text in texts:
        stable.take(Transcript(text, status, language))
        after.append(stable.text)
    return after


def test_shows_what_two_transcripts_begin_with():
    assert shown("Where is my", "Where is my car?", "Where is my parcel?") == [
        "",
        "Where is my",
        "Where is my",
    ]


def test_case_and_punctuation_neither_hold_words_back_nor_change_them():
    assert shown("where is", "Where is,", "Where is. My") == ["", "Where is,", "Where is,"]


def test_keeps_what_is_shown_where_a_transcript_is_shorter():
    assert shown("one two three", "one two three", "one", "one two")[-1] == "one two three"


def test_changes_a_word_only_when_two_transcripts_agree_on_another():
    assert shown("by two", "by two", "buy two", "buy two things") == [
        "",
        "by two",
        "by two",
        "buy two",
    ]


def test_a_transcript_without_text_changes_nothing():
    stable = StableText()
    for text, status in (("one", "ok"), ("", "rejected"), ("one two", "ok"), ("", "failed")):
        stable.take(Transcript(text, status, "en"))
    assert stable.text == "one"


def test_languages_without_spaces_agree_character_by_character():
    assert shown("你好", "你好吗", language="zh")[-1] == "你好"


@given(st.lists(SENTENCES, max_size=8))
def test_every_word_shown_was_agreed_upon(sentences):
    texts = [" ".join(words) for words in sentences]
    for place, text in enumerate(shown(*texts)):
        words = text.split()
        agreed = {
            word
            for one, other in pairwise(texts[: place + 1])
            for word in {*one.split()} & {*other.split()}
        }
        assert {*words} <= agreed


@pytest.mark.parametrize("times", [2, 3])
def test_repeating_a_transcript_shows_all_of_it(times):
    assert shown(*["one two"] * times)[-1] == "one two"
