"""Where one voice follows another within an utterance, and whose each is.

Speech is cut into pieces at short pauses. Each piece is judged by what the speaker encoder says of its beginning: when
0.7 s of it are known, it is compared with what was said before it in the same utterance and with the speakers that are
known, and once more at 1.5 s if that was not sure. All times are samples on the audio's clock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, to_samples
from streamer.speech import VoiceChange
from streamer.speech.speakers import Merged, SpeakerClusters, Voice
from streamer.speech.tape import Tape
from streamer_models.speaker_encoder import SIZE, VoiceStream, unit

_PAUSE = 3 * FRAME
"""Silence (90 ms) between two pieces."""
_LEAST = to_samples(0.48)
"""Speech that a voice can be told from, if nothing more comes."""
_FIRST = to_samples(0.69)
"""Speech that a piece is first judged by: with the voice detector's look-ahead, 0.78 s after its begin."""
_MOST = to_samples(1.47)
"""Speech that it is judged by once more, if the first judgement was not sure."""
_LONGEST = to_samples(2.4)
"""Speech after which another piece begins although there is no pause."""


_JUDGED = 64
"""Judgements that are remembered: more than there are in a second."""


@dataclass(frozen=True, slots=True)
class Margins:
    """Similarities that a change of the voice depends on: cosines."""

    margin: float = 0.04
    """A piece is another known speaker's if it is closer to that one by this much."""
    short_margin: float = 0.01
    """The same at 0.7 s."""
    change: float = 0.38
    """A piece this far from all that is known is a new voice's."""
    sure: float = 0.35
    """A piece this close to what was said before it needs no second judgement."""

    def other(self, seconds: float) -> float:
        """Return the margin for a piece of so many seconds: at 0.7 s, at 1.4 s, or evenly between."""
        share = min(1.0, max(0.0, seconds / 0.7 - 1.0))
        return self.short_margin + (self.margin - self.short_margin) * share


@dataclass(slots=True)
class _Piece:
    """Speech without a pause; times in samples."""

    start: int
    end: int
    """End of its last voiced frame."""
    stream: VoiceStream
    pushed: int
    """How far the network has it."""
    due: int | None
    """Where it is judged next; None: not again."""

    @property
    def seconds(self) -> float:
        """Seconds of it that the network has."""
        return (self.pushed - self.start) / SAMPLE_RATE


class VoiceTracker:
    """The voices of one channel.

    Args:
        new_stream: Makes the stream of a piece of speech.
        speakers: Those of this channel.
        margins: What decisions depend on.
    """

    def __init__(
        self,
        new_stream: Callable[[], VoiceStream],
        speakers: SpeakerClusters,
        margins: Margins | None = None,
    ) -> None:
        self._new_stream = new_stream
        self._speakers = speakers
        self._margins = margins or Margins()
        self._piece: _Piece | None = None
        self._sum = np.zeros(SIZE)
        """Of the pieces of this utterance that are over, each vector times its seconds."""
        self._seconds = 0.0
        self._pause = 0, 0
        """The longest pause since the last piece that counts: where speech ends before it, and goes on after it."""
        self._judged: deque[tuple[int, str]] = deque([(-1, speakers.likeliest(None))], _JUDGED)
        """The likeliest speaker as it became known, by the end of the frame."""

    @property
    def due(self) -> int:
        """Where a change of the voice can next become known, at the earliest."""
        piece = self._piece
        if piece is None:
            return 0
        return piece.end + _FIRST if piece.due is None else min(piece.due, piece.end + _PAUSE)

    def speaker_at(self, sample: int) -> str:
        """Return the likeliest speaker as it was known when the frames up to a sample had been taken."""
        return next(label for at, label in reversed(self._judged) if at <= sample)

    def begin(self, tape: Tape, voiced: Sequence[int]) -> None:
        """Begin an utterance: its voiced frames so far, by their ends."""
        self._sum, self._seconds = np.zeros(SIZE), 0.0
        self._pause = 0, 0
        self._start(voiced[0] - FRAME)
        for end in voiced:
            self.advance(tape, end)

    def advance(self, tape: Tape, end: int) -> VoiceChange | None:
        """Take the next voiced frame; return the change of the voice that it makes known, if any."""
        piece = self._piece
        if piece is None:
            return None
        change = None
        onset = end - FRAME
        if onset - piece.end >= _PAUSE or end - piece.start > _LONGEST:
            change = self._close(tape, onset)
            piece = self._start(onset)
        piece.end = end
        if piece.due is not None and end >= piece.due:
            change = change or self._judge(tape, piece)
        return change

    def conclude(self, tape: Tape) -> VoiceChange | None:
        """Judge the last piece at the end of an utterance; return the change of the voice before it, if any."""
        piece = self._piece
        return self._close(tape, piece.end) if piece else None

    def finish(self) -> str:
        """End the utterance; return whose it is."""
        return self._speakers.assign(*self._voice())

    def merge(self) -> Merged | None:
        """Return two speakers that turned out to be one, if any did."""
        return self._speakers.merge()

    def _start(self, onset: int) -> _Piece:
        first = _FIRST if self._seconds else _MOST  # nothing to compare the first piece with
        self._piece = _Piece(onset, onset, self._new_stream(), onset, onset + first)
        return self._piece

    def _close(self, tape: Tape, onset: int) -> VoiceChange | None:
        """End the present piece, where speech goes on at `onset`."""
        piece = self._piece
        if piece is None:
            return None
        change = None
        if piece.due is not None and piece.end - piece.start >= _LEAST:
            change = self._judge(tape, piece)
        voice = piece.stream.voice()
        if voice is not None:
            self._sum += voice * piece.seconds
            self._seconds += piece.seconds
            self._pause = piece.end, onset
        elif onset - piece.end > self._pause[1] - self._pause[0]:
            self._pause = piece.end, onset
        self._piece = None
        return change

    def _judge(self, tape: Tape, piece: _Piece) -> VoiceChange | None:
        """Push what is known of a piece; compare it with what was said before it."""
        until = min(piece.end, piece.start + _MOST)
        piece.stream.push(tape.view(piece.pushed, until))
        piece.pushed = until
        piece.due = None
        voice = piece.stream.voice()
        change = None
        if until < piece.start + _MOST and not self._is_surely_the_same(voice):
            piece.due = piece.start + _MOST
        if voice is not None and self._seconds and self._differs(voice, piece.seconds):
            speaker = self._speakers.assign(unit(self._sum), self._seconds)
            self._sum, self._seconds = np.zeros(SIZE), 0.0
            change = VoiceChange(*self._pause, speaker)
        self._judged.append((piece.end, self._speakers.likeliest(self._voice()[0])))
        return change

    def _is_surely_the_same(self, voice: Voice | None) -> bool:
        """Return whether the speaker of the utterance so far goes on, beyond doubt."""
        if voice is None or not self._seconds:
            return False
        return float(unit(self._sum) @ voice) >= self._margins.sure

    def _differs(self, voice: Voice, seconds: float) -> bool:
        """Return whether somebody else speaks than in the utterance so far."""
        before = unit(self._sum)
        known = self._speakers.similarities(voice)
        alike = float(before @ voice)
        if not self._speakers.is_new(before, self._seconds):
            own = self._speakers.likeliest(before)
            alike = max(alike, known.pop(own, -1.0))
        closest = max(known.values(), default=-1.0)
        if closest - alike > self._margins.other(seconds):
            return True
        return max(closest, alike) < self._margins.change

    def _voice(self) -> tuple[Voice | None, float]:
        """Return the voice of the utterance so far, None if too little of it is known, and the seconds that tell it."""
        total, seconds = self._sum, self._seconds
        piece = self._piece
        if piece and (voice := piece.stream.voice()) is not None:
            total = total + voice * piece.seconds
            seconds += piece.seconds
        return (unit(total) if seconds else None), seconds
