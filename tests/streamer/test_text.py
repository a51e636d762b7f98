"""Text of strangers."""

from hypothesis import given
from hypothesis import strategies as st

from streamer.text import file_name, printable, well_formed

ANY = st.text(st.characters())  # with halves of surrogate pairs, as names of files have them


@given(ANY)
def test_well_formed_text_is_utf8(text):
    well_formed(text).encode()


@given(ANY)
def test_printable_text_steers_no_terminal(text):
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)


def test_escape_sequences_are_shown_not_obeyed():
    assert printable("\x1b]52;c;aGk=\x07mark") == "\ufffd]52;c;aGk=\ufffdmark"
    assert printable("naïve Ελλάδα 日本 👍") == "naïve Ελλάδα 日本 👍"


@given(ANY)
def test_file_names_stay_in_their_folder(text):
    name = file_name(text)
    assert 0 < len(name) <= 100
    assert name.isascii()
    assert "/" not in name
    assert not name.startswith(".")
