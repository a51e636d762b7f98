"""Whisper's networks on CTranslate2, without its 30 seconds: an utterance costs what its length costs.

Whisper was trained on windows of 30 s, and its decoder, shown less, repeats itself. But the encoder's states of the
silence that fills a window hardly depend on what was said before it. So only the utterance and `LEAD` of silence are
encoded; the states of further silence are those of one window that begins with a voice, computed once: after silence or
a buzz, the larger models find that nobody speaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio import Samples
from streamer_models.encoders.log_mel import Features, log_mel

WINDOW = 3000
"""Columns of a spectrogram (30 s) that fill Whisper's window."""
LEAD = 200
"""Columns of silence that are encoded after an utterance."""
_STRIDE = 2
"""Columns for a state, 20 ms."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Result of the decoder for an utterance."""

    tokens: tuple[int, ...]
    """The end not included."""
    log_probability: float
    """Mean over the tokens and the end."""
    no_speech: float
    """Probability that nothing is said."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Result of the encoder for an utterance."""

    states: NDArray[np.float32]
    """[n, width], n <= 1,500, the utterance's first."""
    columns: int
    """Columns of the spectrogram that are the utterance's."""


@dataclass(frozen=True, slots=True)
class Context:
    """Input of the decoder: the states of an utterance and of silence after it, in CTranslate2's form."""

    view: Any
    columns: int


class WhisperNetwork:
    """Encoder and decoder; one thread uses them at a time.

    Args:
        model: `ctranslate2.models.Whisper`.
        voice: some speech.
    """

    def __init__(self, model: Any, voice: Samples) -> None:
        self._model = model
        self._voice = voice
        self.bands = int(model.n_mels)
        self.multilingual = bool(model.is_multilingual)
        self._silence: NDArray[np.float32] | None = None

    def encode(self, features: Features, least: int = 0) -> Encoding:
        """Return the states of an utterance [bands, n], n <= 3,000, among silence.

        Args:
            features: the utterance's.
            least: columns that are encoded at least; the cost goes with them or with n.
        """
        columns = features.shape[1]
        length = columns + LEAD + (columns + LEAD) % _STRIDE
        return Encoding(self._encoded(features, min(WINDOW, max(least, length))), columns)

    def context(self, encoding: Encoding, silence: int = WINDOW) -> Context:
        """Return the states of an utterance, and as many of silence after it as fit into a window."""
        begin = len(encoding.states)
        filled = [encoding.states, self._silent_states()[begin : begin + silence]]
        return Context(_view(np.concatenate(filled)[None]), encoding.columns)

    def decode(
        self, context: Context, prompt: Sequence[int], *, beams: int, most: int
    ) -> Hypothesis:
        """Return the likeliest text, of at most `most` tokens."""
        result = self._model.generate(
            context.view,
            [list(prompt)],
            beam_size=beams,
            max_length=len(prompt) + most,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = result.sequences_ids[0]
        mean = result.scores[0] * len(tokens) / (len(tokens) + 1)
        return Hypothesis(tuple(tokens), float(mean), float(result.no_speech_prob))

    def language(self, context: Context) -> str:
        """Return the likeliest language (ISO 639)."""
        token, _ = self._model.detect_language(context.view)[0][0]
        return str(token).strip("<|>")

    def align(
        self, context: Context, start: Sequence[int], tokens: Sequence[int]
    ) -> tuple[NDArray[np.float64], list[float]]:
        """Return when each token begins (seconds [len(tokens) + 1], the last its end), and their probabilities."""
        found = self._model.align(context.view, list(start), [list(tokens)], context.columns)[0]
        pairs = np.array(found.alignments)
        begins = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
        times = pairs[begins, 1] * 0.02
        return times, list(found.text_token_probs)

    def _silent_states(self) -> NDArray[np.float32]:
        """Return the states [1500, width] of a window in which the voice is followed by silence."""
        if self._silence is None:
            self._silence = self._encoded(log_mel(self._voice, self.bands), WINDOW)
        return self._silence

    def _encoded(self, features: Features, length: int) -> NDArray[np.float32]:
        """Return the states [length / 2, width] of features and silence after them."""
        padded = np.pad(features, ((0, 0), (0, length - features.shape[1])))
        states = self._model.encode(_view(padded[None]), to_cpu=True)
        found: NDArray[np.float32] = np.asarray(states, np.float32)[0]
        return found


def _view(array: NDArray[np.float32]) -> Any:
    from ctranslate2 import StorageView

    return StorageView.from_array(np.ascontiguousarray(array))
