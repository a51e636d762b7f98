"""Errors such as a speech recogniser makes, at a given word error rate: for training and for tests of robustness.

Words are replaced by words that sound alike (by the pronunciations of the CMU dictionary, which comes with
pocketsphinx), left out, or put in. Short words suffer more often, as they do in recognisers.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

SUBSTITUTED, DELETED, INSERTED = 0.65, 0.22, 0.13
"""Of all errors, the share of each kind: about what recognisers make of talk."""

UNPUNCTUATED = 0.4
"""The share of noisy texts without capitals and punctuation, as simpler recognisers write."""

_SOUNDS = {
    "P": "P B", "T": "T D", "K": "K G", "F": "F V", "H": "TH DH", "S": "S Z", "C": "SH ZH CH JH",
    "N": "M N NG", "L": "L", "R": "R", "W": "W", "Y": "Y", "": "HH",
    "i": "IY IH EY EH AE", "u": "UW UH OW AO", "a": "AA AH ER AW AY OY",
}  # fmt: skip
_CLASS_OF = {sound: symbol for symbol, sounds in _SOUNDS.items() for sound in sounds.split()}
_EDGES = ".,!?;:\"'()[]…-–—“”‘’"  # noqa: RUF001 - quotation marks and dashes as they occur in texts


class RecogniserNoise:
    """Makes errors with the words of some texts.

    Args:
        texts: Where the words that can be heard in place of others come from, by their frequency.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        counts = Counter(word for text in texts for raw in text.split() if (word := _bare(raw)))
        keyed: dict[str, list[str]] = defaultdict(list)
        for word in sorted(counts):
            keyed[sound_of(word)].append(word)
        self._alike = {
            key: (words, np.cumsum([counts[word] ** 0.5 for word in words]))
            for key, words in keyed.items()
        }
        common = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        self._common = common[:60]

    def __call__(self, text: str, rate: float, rng: np.random.Generator) -> str:
        """Return a text with errors.

        Args:
            text: Words with spaces between them.
            rate: Expected word error rate, 0 to 1.
            rng: Decides which errors.
        """
        words = text.split()
        proneness = np.array([1.0 / (2.0 + len(_bare(word))) for word in words])
        if len(words):
            proneness /= proneness.mean()
        heard: list[str] = []
        for word, prone in zip(words, proneness, strict=True):
            error = rng.random() / max(prone, 1e-9)
            if error < rate * SUBSTITUTED:
                heard.append(self._replaced(word, rng))
            elif error >= rate * (SUBSTITUTED + DELETED):
                heard.append(word)
            if self._common and rng.random() < rate * INSERTED:
                heard.append(self._common[int(rng.integers(len(self._common)))])
        if rng.random() < UNPUNCTUATED:
            heard = [bare for word in heard if (bare := _bare(word))]
        return " ".join(heard)

    def _replaced(self, word: str, rng: np.random.Generator) -> str:
        """Return another word with the sound of this one, or failing that with half of it, in its punctuation."""
        bare = _bare(word)
        key = sound_of(bare)
        for shape in (key, key[:-1], key[1:], key[: len(key) // 2]):
            words, edges = self._alike.get(shape, ([], np.zeros(0)))
            if len(words) > (bare in words):
                for _ in range(8):
                    found = words[int(np.searchsorted(edges, rng.random() * edges[-1], "right"))]
                    if found != bare:
                        return word.lower().replace(bare, found, 1) if bare else found
        return self._common[int(rng.integers(len(self._common)))] if self._common else word


def sound_of(word: str) -> str:
    """Return how a word (lower case) sounds, coarsely: voiced and unvoiced consonants, and near vowels, are alike."""
    sounds = _pronunciations().get(word)
    if sounds is None:
        return _spelled(word)
    return _without_repeats("".join(_CLASS_OF.get(sound, "") for sound in sounds.split()))


def _spelled(word: str) -> str:
    """Return the same guessed from the letters, for words that are not in the dictionary."""
    letters = {
        **dict.fromkeys("pb", "P"), **dict.fromkeys("td", "T"), **dict.fromkeys("kgcqx", "K"),
        **dict.fromkeys("fv", "F"), **dict.fromkeys("sz", "S"), "j": "C", **dict.fromkeys("mn", "N"),
        "l": "L", "r": "R", "w": "W", "y": "i", **dict.fromkeys("ie", "i"), **dict.fromkeys("uo", "u"),
        "a": "a",
    }  # fmt: skip
    return _without_repeats("".join(letters.get(letter, "") for letter in word))


def _without_repeats(key: str) -> str:
    return "".join(a for a, b in zip(key, f" {key}", strict=False) if a != b)


@cache
def _pronunciations() -> dict[str, str]:
    import pocketsphinx

    path = Path(pocketsphinx.get_model_path()) / "en-us" / "cmudict-en-us.dict"
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, sounds = line.partition(" ")
        if "(" not in word:
            found[word] = sounds
    return found


def _bare(word: str) -> str:
    return word.lower().replace("’", "'").strip(_EDGES)  # noqa: RUF001 - as they occur in texts
