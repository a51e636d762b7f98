"""The words of an utterance that goes on, as far as they are stable: those that two transcripts in a row agree on.

Local agreement (Liu et al., 2020): the end of a transcript made of unfinished speech is a guess, and the next one,
made of a little more, often corrects it. What both begin with rarely changes any more.
"""

from collections.abc import Sequence

from streamer.transcription import Transcript

JOINED = frozenset(("zh", "ja", "th", "lo", "my", "yue"))
"""Languages written without spaces between words."""

_PUNCTUATION = ".,!?;:-\"'"


class StableText:
    """What may be shown of one utterance."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._last: list[str] = []
        self._between = " "

    @property
    def text(self) -> str:
        """The stable words; "" before any are."""
        return self._between.join(self._shown)

    def take(self, transcript: Transcript) -> None:
        """Take the next transcript of the utterance; one without text changes nothing.

        Words that are shown stay as they are until two transcripts in a row agree on others.
        """
        if transcript.status != "ok":
            return
        self._between = "" if transcript.language in JOINED else " "
        words = transcript.text.split() if self._between else list(transcript.text)
        agreed = words[: _common(self._last, words)]
        kept = _common(self._shown, agreed)
        if len(agreed) > kept:
            self._shown = self._shown[:kept] + agreed[kept:]
        self._last = words


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words two texts begin with alike, case and punctuation aside."""
    count = 0
    for first, second in zip(one, other, strict=False):
        if _bare(first) != _bare(second):
            break
        count += 1
    return count


def _bare(word: str) -> str:
    return word.casefold().strip(_PUNCTUATION)
