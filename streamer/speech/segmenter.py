"""The utterance state machine: from the speech probabilities of frames to utterances."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Samples, to_samples
from streamer.settings.tree import Segmentation
from streamer.speech import (
    Effort,
    SpeakersMerged,
    SpeechEnded,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    TurnEnd,
    VoiceChange,
    VoiceDetector,
)
from streamer.speech.frames import whole_frames
from streamer.speech.tape import QUIET_HALF, Tape

if TYPE_CHECKING:
    from streamer.speech.voice_change import VoiceTracker

_TURN_GAP = 2 * SAMPLE_RATE
"""Silence that is over before one more utterance belongs to the same turn."""

_CAUTIOUS = 30
"""Voiced frames (0.9 s) that confirm an utterance over music."""

_CHANGE = 12 * FRAME
"""Samples (0.36 s) on both sides of a change of the voice without a pause in which to split."""

SegmenterEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechEnded | SpeakersMerged


class _State(Enum):
    QUIET = auto()
    STARTING = auto()
    """Speech is suspected but not yet confirmed."""
    SPEAKING = auto()
    STOPPING = auto()
    """Silence has begun, but not lasted long enough to be the end."""


class Segmenter:
    """Cuts one channel into utterances.

    Frames lie on an absolute grid, frame k = samples [480 k, 480 k + 480), so the events do not depend on the sizes
    of the chunks. Every SpeechStarted is followed by exactly one SpeechEnded, at the latest from `flush`. All times
    are sample indices on the audio's clock. A frame is scored `detector.delay` frames after it arrived; the silence
    before the endpoint is counted from the frame's own end all the same.

    The iterators returned do the work, so they must be read to the end. While an event is being handled, `view` holds
    the audio of the present utterance.

    Args:
        detector: scores the frames of this channel alone.
        settings: thresholds and lengths.
        channel: index of the channel.
        turn_end: scores whether a turn sounds complete; None: silence alone ends it.
        voices: tells speakers of this channel apart; None: it has one.
    """

    def __init__(
        self,
        detector: VoiceDetector,
        settings: Segmentation,
        channel: int,
        turn_end: TurnEnd | None = None,
        voices: "VoiceTracker | None" = None,
    ) -> None:
        self._detector = detector
        self._lag = detector.delay * FRAME
        """Samples by which the frame that is scored lies behind the last one received."""
        self._channel = channel
        self._start_threshold = settings.threshold
        self._stop_threshold = settings.threshold - settings.hysteresis
        self._pre_roll = to_samples(settings.pre_roll)
        self._tail = to_samples(settings.tail)
        self._hangover = whole_frames(settings.silence)
        self._turn_end = turn_end
        self.effort = Effort.ALL
        """How it is decided whether turns sound complete."""
        self._voices = voices
        self._complete = settings.complete
        self._ask_after = whole_frames(settings.complete_silence)
        self._pause = whole_frames(settings.pause)
        self._min_speech = self._confirm = whole_frames(settings.min_speech) // FRAME
        self._longest = to_samples(settings.max_utterance)
        self._search = whole_frames(settings.split_search)

        self._tape = Tape()
        self._due = FRAME
        """End of the next frame."""
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
        """End of each voiced frame of the present utterance, or of the speech not yet confirmed."""

    @property
    def position(self) -> int:
        """End of the audio received so far; the next chunk begins here."""
        return self._tape.end

    @property
    def next_event(self) -> int:
        """Sample before which no event can become known, whatever the audio."""
        if self._state in (_State.QUIET, _State.STARTING):
            return self._due + (self._confirm - len(self._voiced) - 1) * FRAME
        if self._paused:  # speech may resume with any frame
            return self._due
        due = min(self._voiced[-1] + self._pause, self._start + self._longest - FRAME)
        return due if self._voices is None else min(due, self._voices.due + self._lag)

    def speaker_at(self, sample: int) -> str | None:
        """Return who is likeliest to speak, by the audio up to a sample; None if the channel has one speaker."""
        return self._voices.speaker_at(sample - self._lag) if self._voices else None

    def set_cautious(self, *, cautious: bool) -> None:
        """Say whether only long speech begins an utterance, as over music; what begins is as long as ever."""
        self._confirm = max(self._min_speech, _CAUTIOUS) if cautious else self._min_speech

    def view(self, begin: int, end: int) -> Samples:
        """Return samples of the present utterance, [begin, end), valid until the next event."""
        return self._tape.view(begin, end)

    def push(self, chunk: AudioChunk) -> Iterator[SegmenterEvent]:
        """Process the next audio. Audio that begins later than the last ended counts as following a gap.

        Raises:
            ValueError: if the chunk is another channel's or goes back in time.
        """
        if chunk.channel != self._channel:
            raise ValueError(f"audio of channel {chunk.channel} given to channel {self._channel}")
        if chunk.start < self.position:
            raise ValueError(f"audio at {chunk.start} after audio up to {self.position}")
        return self._push(chunk)

    def gap(self, start: int, end: int) -> Iterator[SegmenterEvent]:
        """Process the loss of audio [start, end): an utterance ends where the audio broke off; time goes on.

        Raises:
            ValueError: if the gap ends before it starts or before the audio received so far.
        """
        if end < max(start, self.position):
            raise ValueError(f"a gap from {start} to {end} after audio up to {self.position}")
        return self._gap(end)

    def flush(self) -> Iterator[SegmenterEvent]:
        """End the audio, and with it an utterance that has not ended."""
        yield from self._break_off()
        self._detector.reset()
        self._turn = None

    def _push(self, chunk: AudioChunk) -> Iterator[SegmenterEvent]:
        if chunk.start > self.position:
            yield from self._gap(chunk.start)
        samples = chunk.samples
        if not np.isfinite(samples).all():  # a recurrent detector would never recover from one
            samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
        # By the second, so that a chunk of any length leaves the tape short.
        for first in range(0, len(samples), SAMPLE_RATE):
            self._tape.append(samples[first : first + SAMPLE_RATE])
            if due := range(self._due, self._tape.end + 1, FRAME):
                yield from self._process(due)
                self._due = due[-1] + FRAME

    def _gap(self, end: int) -> Iterator[SegmenterEvent]:
        yield from self._break_off()
        self._detector.reset()
        self._turn = None
        self._tape.restart(end)
        self._free = end
        self._due = (end // FRAME + 1) * FRAME

    def _break_off(self) -> Iterator[SegmenterEvent]:
        """Score the frames that are left, an incomplete one among them; then end a present utterance."""
        at = self.position
        last = -(-at // FRAME) * FRAME + self._lag
        if at > self._tape.start and (left := range(self._due, last + 1, FRAME)):
            yield from self._process(left)
        if self._state in (_State.SPEAKING, _State.STOPPING):
            yield from self._end(at)
        self._return_to_quiet(at)

    def _process(self, ends: range) -> Iterator[SegmenterEvent]:
        """Score the frames that end there, and advance the state machine by each."""
        known = self._tape.end
        for end, probability in zip(ends, self._scores(ends), strict=True):
            yield from self._step(min(end - self._lag, known), min(end, known), probability)

    def _step(self, end: int, at: int, probability: float) -> Iterable[SegmenterEvent]:
        """Advance by the frame that ends at `end`, the present being `at`."""
        settled = self._state in (_State.STARTING, _State.SPEAKING)
        threshold = self._stop_threshold if settled else self._start_threshold
        if voiced := probability >= threshold and end > self._free:
            self._voiced.append(end)
        if self._state not in (_State.SPEAKING, _State.STOPPING):
            return self._step_quiet(at, voiced=voiced)
        if voiced and self._voices and (change := self._voices.advance(self._tape, end)):
            return chain(self._step_speaking(at, voiced=voiced), self._change(change, at))
        return self._step_speaking(at, voiced=voiced)

    def _scores(self, ends: range) -> list[float]:
        """Score the frames that end there, each padded to its full length with silence."""
        begin, end = ends[0] - FRAME, ends[-1]
        known = self._tape.view(max(begin, self._tape.start), min(end, self._tape.end))
        if len(known) < end - begin:
            before = max(0, self._tape.start - begin)
            known = np.pad(known, (before, end - begin - len(known) - before))
        return self._detector(known.reshape(-1, FRAME))

    def _step_quiet(self, at: int, *, voiced: bool) -> Iterable[SegmenterEvent]:
        """Advance outside an utterance: speech may be suspected, confirmed or dismissed."""
        if voiced:
            self._state = _State.STARTING
            if len(self._voiced) >= self._confirm:
                onset = self._voiced[0] - FRAME
                return (self._begin(max(onset - self._pre_roll, self._free), at),)
        elif self._state is _State.QUIET or at - self._voiced[-1] >= self._pause:
            self._return_to_quiet(at)
        return ()

    def _step_speaking(self, at: int, *, voiced: bool) -> Iterator[SegmenterEvent]:
        """Advance inside an utterance: it may go on, pause, resume, end or become too long."""
        if voiced:
            self._state = _State.SPEAKING
            self._asked = False
            if self._paused:
                self._paused = False
                yield SpeechResumed(self._channel, start=self._start, at=at)
        else:
            self._state = _State.STOPPING
            silence = at - self._voiced[-1]
            if silence >= self._hangover or self._sounds_complete(silence, at):
                yield from self._end(at)
                return
            if silence >= self._pause and not self._paused:
                self._paused = True
                end = self._end_of_speech(at)
                samples = self._tape.copy(self._start, end)
                yield SpeechPaused(self._channel, self._start, end=end, at=at, samples=samples)
        if at + FRAME - self._start > self._longest and at % FRAME == 0:
            if self._paused:  # a better place to end will not come
                yield from self._end(at)
            else:
                yield from self._split(at)

    def _sounds_complete(self, silence: int, at: int) -> bool:
        """Return whether the turn is over by its sound; asked once in a pause."""
        asking = self.effort > Effort.LEAST and not self._asked and silence >= self._ask_after
        if self._turn_end is None or self._turn is None or not asking:
            return False
        self._asked = True
        turn = self._tape.view(max(self._turn, at - self._turn_end.window), at)
        return self._turn_end(turn, brief=self.effort < Effort.ALL) >= self._complete

    def _begin(self, start: int, at: int, *, change: bool = False) -> SpeechStarted:
        self._state = _State.SPEAKING
        self._start = start
        self._asked = False
        if self._turn is None or at - self._active >= _TURN_GAP:
            self._turn = start
        self._active = at
        self._discard(start, at)
        if self._voices and not change:
            self._voices.begin(self._tape, self._voiced)
        return SpeechStarted(self._channel, start=start, at=at)

    def _end(self, at: int) -> Iterator[SegmenterEvent]:
        if self._voices and (change := self._voices.conclude(self._tape)):
            yield from self._change(change, at)
        end = self._end_of_speech(at)
        yield self._ended(end, self._voiced[-1], at)
        yield from self._merged(at)
        self._active = self._voiced[-1]
        self._free = end
        self._return_to_quiet(at)

    def _change(self, change: VoiceChange, at: int) -> Iterator[SegmenterEvent]:
        """End the utterance where somebody else begins to speak, and begin theirs."""
        if change.onset <= self._start:  # it was split just now
            return
        end = min(change.end + self._tail, change.onset)
        start = max(change.onset - self._pre_roll, end)
        if change.onset == change.end:  # no pause
            end = start = self._quietest(end - _CHANGE, end + _CHANGE, at)
        spoken = bisect_right(self._voiced, end)
        yield self._ended(end, self._voiced[spoken - 1], at, change.speaker)
        yield from self._merged(at)
        self._voiced = self._voiced[spoken:]
        self._turn = None
        yield self._begin(start, at, change=True)

    def _merged(self, at: int) -> Iterator[SpeakersMerged]:
        if self._voices and (merged := self._voices.merge()):
            yield SpeakersMerged(self._channel, merged.speaker, merged.into, at)

    def _split(self, at: int) -> Iterator[SegmenterEvent]:
        """End the utterance at the quietest place of its last seconds, and begin the next there."""
        cut = self._quietest(at - self._search, at, at)
        spoken = bisect_right(self._voiced, cut)
        yield self._ended(cut, self._voiced[spoken - 1], at)
        self._voiced = self._voiced[spoken:]
        self._active = at
        yield self._begin(cut, at)

    def _quietest(self, low: int, high: int, at: int) -> int:
        """Find where to split between two samples: the place of least energy with speech on both sides."""
        first_whole = -(-self._start // FRAME) * FRAME
        low = max(low, self._voiced[0], first_whole + QUIET_HALF)
        high = max(low, min(high, self._voiced[-self._min_speech :][0] - FRAME, at - QUIET_HALF))
        return self._tape.quietest(low, high)

    def _ended(self, end: int, voice_end: int, at: int, speaker: str | None = None) -> SpeechEnded:
        speaker = self._voices.finish() if self._voices and not speaker else speaker
        samples = self._tape.copy(self._start, end)
        return SpeechEnded(self._channel, self._start, end, voice_end, at, samples, speaker=speaker)

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
