"""The utterance state machine: from frames judged one by one to utterances."""

from bisect import bisect_right
from collections.abc import Iterator
from enum import Enum, auto

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, to_samples
from streamer.settings.tree import Segmentation
from streamer.speech import (
    SpeechEnded,
    SpeechEvent,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnEnd,
    VoiceDetector,
)
from streamer.speech.tape import Tape

_TURN_GAP = 2 * SAMPLE_RATE
"""Silence that is over before one more utterance belongs to the same turn."""

_SPLIT_WIDTH = 4
"""Frames (120 ms) whose energy says how quiet a place is; a split falls in their middle."""


class _State(Enum):
    QUIET = auto()
    STARTING = auto()
    """Speech is suspected but not yet confirmed."""
    SPEAKING = auto()
    STOPPING = auto()
    """Silence has begun, but not lasted long enough to be the end."""


class Segmenter:
    """Cuts one channel into utterances.

    A frame is judged `detector.delay` frames after it was heard; the hangover begins at its end all the same.

    Frames lie on the absolute grid, frame k = samples [480 k, 480 k + 480), so what comes out does not
    depend on the sizes of the chunks that go in. Every SpeechStarted is followed by exactly one
    SpeechEnded, at the latest from `flush`. All times are indices on the audio's clock.
    """

    def __init__(
        self,
        detector: VoiceDetector,
        settings: Segmentation,
        channel: int,
        turn_end: TurnEnd | None = None,
    ) -> None:
        self._detector = detector
        self._lag = detector.delay * FRAME
        """Samples by which the end of the frame that is judged lies behind that of the last one heard."""
        self._channel = channel
        self._start_threshold = settings.start_threshold
        self._stop_threshold = settings.stop_threshold
        self._pre_roll = to_samples(settings.pre_roll)
        self._tail = to_samples(settings.tail)
        self._hangover = _whole_frames(settings.hangover)
        self._turn_end = turn_end
        self._complete = settings.complete
        self._ask_after = _whole_frames(settings.complete_silence)
        if turn_end:
            self._hangover = _whole_frames(settings.end_silence)
        self._pause = _whole_frames(settings.pause)
        self._confirm = _whole_frames(settings.min_speech) // FRAME
        self._longest = to_samples(settings.max_utterance)
        self._search = _whole_frames(settings.split_search)

        self._tape = Tape()
        self._due = FRAME
        """Where the next frame ends."""
        self._free = 0
        """No utterance may begin before this: the end of the last one, or of a gap."""
        self._state = _State.QUIET
        self._start = 0
        self._paused = False
        self._asked = False
        """Whether it is known of the present pause that the turn does not sound complete."""
        self._turn: int | None = None
        """Where the turn began: utterances of this channel with little silence between them."""
        self._active = 0
        """Until when the turn was surely going on."""
        self._voiced: list[int] = []
        """Where each voiced frame of the present utterance or suspicion ends."""

    @property
    def position(self) -> int:
        """The end of the audio received so far; the next chunk begins here."""
        return self._tape.end

    @property
    def next_event(self) -> int:
        """No event can become known before this sample, whatever is said until then."""
        if self._state in (_State.QUIET, _State.STARTING):
            return self._due + (self._confirm - len(self._voiced) - 1) * FRAME
        if self._paused:  # speech may resume with any frame
            return self._due
        return min(self._voiced[-1] + self._pause, self._start + self._longest - FRAME)

    def push(self, chunk: AudioChunk) -> Iterator[SpeechEvent]:
        """Take the next audio; all of its events, whether they are read or not.

        Audio that begins later than the last ended is taken as a gap.

        Raises:
            ValueError: if the chunk is another channel's or goes back in time.
        """
        if chunk.channel != self._channel:
            raise ValueError(f"audio of channel {chunk.channel} given to channel {self._channel}")
        if chunk.start < self.position:
            raise ValueError(f"audio at {chunk.start} after audio up to {self.position}")
        events: list[SpeechEvent] = []
        if chunk.start > self.position:
            events.extend(self.gap(self.position, chunk.start))
        samples = chunk.samples
        if not np.isfinite(samples).all():  # one would deafen a recurrent detector for good
            samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        # By the second, so that a chunk of any length leaves the tape short.
        for first in range(0, len(samples), SAMPLE_RATE):
            self._tape.append(samples[first : first + SAMPLE_RATE])
            if due := range(self._due, self._tape.end + 1, FRAME):
                self._follow_frames(due, events)
                self._due = due[-1] + FRAME
        return iter(events)

    def gap(self, start: int, end: int) -> Iterator[SpeechEvent]:
        """Audio [start, end) was lost: an utterance ends where the audio broke; time goes on.

        Raises:
            ValueError: if the gap ends before it starts or before the audio received so far.
        """
        if end < max(start, self.position):
            raise ValueError(f"a gap from {start} to {end} after audio up to {self.position}")
        events = self._break_off()
        self._detector.reset()
        self._turn = None
        self._tape.restart(end)
        self._free = end
        self._due = (end // FRAME + 1) * FRAME
        return iter(events)

    def flush(self) -> Iterator[SpeechEvent]:
        """The audio is over: end what has not ended."""
        events = self._break_off()
        self._detector.reset()
        self._turn = None
        return iter(events)

    def _break_off(self) -> list[SpeechEvent]:
        """Judge what is left, the frame that stays incomplete with it; then end a present utterance."""
        events: list[SpeechEvent] = []
        at = self.position
        last = -(-at // FRAME) * FRAME + self._lag
        if at > self._tape.start and (left := range(self._due, last + 1, FRAME)):
            self._follow_frames(left, events)
        if self._state in (_State.SPEAKING, _State.STOPPING):
            self._end(at, events)
        self._return_to_quiet(at)
        return events

    def _follow_frames(self, ends: range, events: list[SpeechEvent]) -> None:
        """Hear the frames that end there, and move the machine by as many."""
        heard = self._tape.end
        for end, probability in zip(ends, self._judged(ends), strict=True):
            self._step(min(end - self._lag, heard), min(end, heard), probability, events)

    def _step(self, end: int, at: int, probability: float, events: list[SpeechEvent]) -> None:
        """Move the machine by the frame that ends at `end`, `at` being the present."""
        settled = self._state in (_State.STARTING, _State.SPEAKING)
        threshold = self._stop_threshold if settled else self._start_threshold
        if voiced := probability >= threshold and end > self._free:
            self._voiced.append(end)
        match self._state:
            case _State.QUIET | _State.STARTING:
                self._suspect(at, events, voiced=voiced)
            case _State.SPEAKING | _State.STOPPING:
                self._follow(at, events, voiced=voiced)

    def _judged(self, ends: range) -> list[float]:
        """Judge the frames that end there, each whole: what lies outside the audio is silence."""
        begin, end = ends[0] - FRAME, ends[-1]
        known = self._tape.view(max(begin, self._tape.start), min(end, self._tape.end))
        if len(known) < end - begin:
            before = max(0, self._tape.start - begin)
            known = np.pad(known, (before, end - begin - len(known) - before))
        return self._detector(known.reshape(-1, FRAME))

    def _suspect(self, at: int, events: list[SpeechEvent], *, voiced: bool) -> None:
        """Nobody speaks yet: does someone begin to?"""
        if voiced:
            self._state = _State.STARTING
            if len(self._voiced) >= self._confirm:
                onset = self._voiced[0] - FRAME
                self._begin(max(onset - self._pre_roll, self._free), at, events)
        elif self._state is _State.QUIET or at - self._voiced[-1] >= self._pause:
            self._return_to_quiet(at)

    def _follow(self, at: int, events: list[SpeechEvent], *, voiced: bool) -> None:
        """Someone speaks: does it go on, pause, end, or take too long?"""
        if voiced:
            self._state = _State.SPEAKING
            self._asked = False
            if self._paused:
                self._paused = False
                events.append(SpeechResumed(start=self._start, at=at))
        else:
            self._state = _State.STOPPING
            silence = at - self._voiced[-1]
            if silence >= self._hangover or self._sounds_complete(silence, at):
                self._end(at, events)
                return
            if silence >= self._pause and not self._paused:
                self._paused = True
                end = self._end_of_speech(at)
                samples = self._tape.copy(self._start, end)
                events.append(SpeechPaused(start=self._start, end=end, at=at, samples=samples))
        if at + FRAME - self._start > self._longest and at % FRAME == 0:
            if self._paused:  # a better place to end will not come
                self._end(at, events)
            else:
                self._split(at, events)

    def _sounds_complete(self, silence: int, at: int) -> bool:
        """Whether the turn is over by the sound of it; found out once in a pause."""
        if self._turn_end is None or self._turn is None or self._asked or silence < self._ask_after:
            return False
        self._asked = True
        turn = self._tape.view(max(self._turn, at - self._turn_end.window), at)
        return self._turn_end(turn) >= self._complete

    def _begin(self, start: int, at: int, events: list[SpeechEvent]) -> None:
        self._state = _State.SPEAKING
        self._start = start
        self._asked = False
        if self._turn is None or at - self._active >= _TURN_GAP:
            self._turn = start
        self._active = at
        self._discard(start, at)
        events.append(SpeechStarted(start=start, at=at, samples=self._tape.copy(start, at)))

    def _end(self, at: int, events: list[SpeechEvent]) -> None:
        end = self._end_of_speech(at)
        events.append(self._ended(end, self._voiced[-1], at))
        self._active = self._voiced[-1]
        self._free = end
        self._return_to_quiet(at)

    def _split(self, at: int, events: list[SpeechEvent]) -> None:
        """End the utterance at the quietest place of its last seconds, and begin the next there."""
        cut = self._quietest(at)
        spoken = bisect_right(self._voiced, cut)
        events.append(self._ended(cut, self._voiced[spoken - 1], at))
        self._voiced = self._voiced[spoken:]
        self._active = at
        self._begin(cut, at, events)

    def _quietest(self, at: int) -> int:
        """Where to split: both sides keep speech, and the energy around is the least."""
        half = _SPLIT_WIDTH // 2 * FRAME
        first_whole = -(-self._start // FRAME) * FRAME
        low = max(at - self._search, self._voiced[0], first_whole + half)
        high = max(low, min(self._voiced[-self._confirm :][0] - FRAME, at - half))
        frames = self._tape.view(low - half, high + half).reshape(-1, FRAME).astype(np.float64)
        energies = np.einsum("fs,fs->f", frames, frames)
        around = np.lib.stride_tricks.sliding_window_view(energies, _SPLIT_WIDTH).sum(axis=1)
        last = len(around) - 1 - int(np.argmin(around[::-1]))
        return low + last * FRAME

    def _ended(self, end: int, voice_end: int, at: int) -> SpeechEnded:
        samples = self._tape.copy(self._start, end)
        return SpeechEnded(start=self._start, end=end, voice_end=voice_end, at=at, samples=samples)

    def _end_of_speech(self, at: int) -> int:
        return min(self._voiced[-1] + self._tail, at)

    def _return_to_quiet(self, at: int) -> None:
        self._state = _State.QUIET
        self._paused = False
        self._voiced.clear()
        self._discard(max(at - self._lag - self._pre_roll, self._free), at)

    def _discard(self, before: int, at: int) -> None:
        """Let go of what is no longer needed, at a time: not of the turn, as far as it may be asked about."""
        if at - self._active >= _TURN_GAP:
            self._turn = None
        if self._turn_end and self._turn is not None:
            before = min(before, max(self._turn, at - self._turn_end.window))
        self._tape.discard(before)


def _whole_frames(seconds: float) -> int:
    """The length in samples of the frames nearest to a time, one at least."""
    return max(1, round(to_samples(seconds) / FRAME)) * FRAME
