"""Whisper's tokens: what is put before an utterance's text, and what comes after."""

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from streamer.transcription.stable import JOINED

MAX_TERMS = 100
"""Tokens of the terms to expect that fit before the text; the model has room for 224 at most."""


class Tokens:
    """The vocabulary of one Whisper model.

    Args:
        content: the model's `tokenizer.json`.
        multilingual: whether the model knows more than English.
        languages: ids of the languages' tokens.
    """

    def __init__(self, content: bytes, *, multilingual: bool, languages: Sequence[int]) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_buffer(content)
        self._multilingual = multilingual
        codes = (self._tokenizer.id_to_token(token) or "" for token in languages)
        names = [code.strip("<|>") for code in codes] if multilingual else ["en"]
        self.languages = frozenset(filter(None, names))
        self._end = self._id("<|endoftext|>")

    def start(self, language: str) -> list[int]:
        """Return the tokens that ask for a transcript in a language."""
        start = [self._id("<|startoftranscript|>")]
        if self._multilingual:
            start += [self._id(f"<|{language}|>"), self._id("<|transcribe|>")]
        return start

    def prompt(self, language: str, terms: Sequence[str]) -> list[int]:
        """Return all that stands before the text: terms to expect, the language, that no times are wanted."""
        before: list[int] = []
        if terms:
            expected = self._tokenizer.encode(" " + ", ".join(terms), add_special_tokens=False).ids
            before = [self._id("<|startofprev|>"), *expected[:MAX_TERMS]]
        return [*before, *self.start(language), self._id("<|notimestamps|>")]

    def spoken(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens that stand for text."""
        return [token for token in tokens if token < self._end]

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens of text say."""
        return str(self._tokenizer.decode(list(tokens)))

    def words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Return the words of a text in order, each with its number of tokens; punctuation stays at its word."""
        words: list[tuple[str, int]] = []
        for piece, count in self._pieces(tokens):
            begins = piece.startswith(" ") or language in JOINED
            if words and not (begins and any(map(str.isalnum, piece))):
                text, before = words[-1]
                words[-1] = (text + piece, before + count)
            else:
                words.append((piece, count))
        return [(text.strip(), count) for text, count in words]

    def _pieces(self, tokens: Sequence[int]) -> Iterator[tuple[str, int]]:
        """Text that ends with a whole character each, and its number of tokens."""
        first = 0
        for index in range(len(tokens)):
            piece = self.text(tokens[first : index + 1])
            if not piece.endswith("\ufffd"):
                yield piece, index + 1 - first
                first = index + 1
        if first < len(tokens):
            yield self.text(tokens[first:]), len(tokens) - first

    def _id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise ValueError(f"the tokenizer has no {token}")
        return int(found)
