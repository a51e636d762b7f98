"""Audio encoders while someone speaks: the embedding of the whole utterance, as the samples arrive.

`LeafCnnStream` computes LEAF-CNN's piece by piece; `Buffered` wraps any other encoder: it keeps the samples, evaluates
the encoder at the end, and for a few estimates before.

LEAF's columns need 25 ms around their centre, PCEN is a recursion, the CNN's convolutions are valid ones and its
mean over time is a running sum. So each block of frames is work done once, and little is left for the end.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamer_models.contract import (
    SAMPLE_RATE,
    AudioEncoder,
    AudioStream,
    HasFastForm,
    Pooling,
    Samples,
    Streaming,
)
from streamer_models.encoders.leaf_cnn import COLUMN_HOP, RECEPTIVE_FIELD, LeafCnn
from streamer_models.fast.leaf_cnn import FastLeafCnn, State
from streamer_models.layers.pooling import RunningStatistics

LOOK_BACK = 3 * SAMPLE_RATE // 2
"""Samples that an embedding may end before the last one pushed."""

BLOCK = 16
"""Frames that a stream advances by; a fixed number, so that chunk sizes change no result."""

_KEPT = 6
"""Ends of blocks that are kept for `look_back`: 2.4 s."""


def streams_of(encoder: AudioEncoder) -> Callable[[], AudioStream]:
    """Prepare an encoder, whose weights are final, for a stream for each utterance."""
    if isinstance(encoder, Streaming):
        return encoder.streams()
    return partial(Buffered, fast_form(encoder))


def fast_form(encoder: AudioEncoder) -> AudioEncoder:
    """Return the form in which streams use an encoder whose weights are final and that takes whole utterances."""
    form: AudioEncoder = encoder.fast() if isinstance(encoder, HasFastForm) else encoder
    return form


class LeafCnnStream:
    """One utterance's embedding by LEAF-CNN, from its first sample on.

    Args:
        network: The audio encoder; streams share it.
    """

    look_back = LOOK_BACK

    def __init__(self, network: FastLeafCnn) -> None:
        self._network = network
        leaf = network.config.leaf
        self._hop, self._half, self._floor = leaf.hop, leaf.reach, leaf.floor
        self._pushed = 0
        self._samples: Samples = np.zeros(self._half, np.float32)
        self._first = -self._half
        """Index of the first sample kept."""
        start = _Known(
            frames=0,
            average=None,
            waiting=torch.zeros(leaf.filters, 0, device=network.device),
            convolved=(),
            sum=torch.zeros(network.config.embedding, device=network.device),
            columns=0,
        )
        self._known: deque[_Known] = deque([start], maxlen=_KEPT)

    @classmethod
    def prepared(cls, encoder: LeafCnn) -> Callable[[], AudioStream]:
        """Prepare the weights once, for a stream for each utterance."""
        return partial(cls, FastLeafCnn(encoder))

    @torch.inference_mode()
    def push(self, samples: Samples) -> None:
        """Take the samples that follow, float32 in [-1, 1], any number of them."""
        self._samples = np.concatenate([self._samples, samples])
        self._pushed += len(samples)
        while self._pushed >= self._needed(self._known[-1].frames + BLOCK):
            last = self._known[-1]
            energies = self._energies(last.frames, last.frames + BLOCK, self._pushed)
            self._known.append(self._after(last, energies))
        keep = self._known[0].frames * self._hop - self._half
        self._samples = self._samples[keep - self._first :]
        self._first = keep

    @torch.inference_mode()
    def embedding(self, end: int | None = None) -> Tensor:
        """Return the embedding [embedding] of the utterance as if it ended at a sample.

        Args:
            end: Samples from the beginning; None: all that was pushed. At most `look_back` may lie between the two.

        Raises:
            ValueError: It lies in the future, or too far back.
        """
        end = self._pushed if end is None else end
        if end > self._pushed or end < 0:
            raise ValueError(f"the utterance has {self._pushed} samples, not {end}")
        frames = max(1, -(-end // self._hop))
        known = self._known_before(frames, end)
        silent = max(0, RECEPTIVE_FIELD - frames)
        if known.frames < frames or silent:
            energies = known.waiting[:, :0]
            if known.frames < frames:
                energies = self._energies(known.frames, frames, end)
            known = self._after(known, nn.functional.pad(energies, (0, silent), value=self._floor))
        return (known.sum / known.columns).cpu()

    def estimate(self) -> Tensor:
        """Return the embedding [embedding] of the blocks that are done, up to 0.5 s behind: it costs next to nothing.

        Before the first column is done, that is for 1.4 s, it costs that column; before the first block is, it is
        `embedding()`.
        """
        done = self._known[-1].frames
        return self.embedding(self._needed(done) if done else None)

    def _after(self, known: "_Known", energies: Tensor) -> "_Known":
        """Return the state after further frames with energies [filters, n >= 1]."""
        features, average = self._network.compress(energies, known.average)
        waiting = torch.cat([known.waiting, features], dim=1)
        needed = COLUMN_HOP if known.convolved else RECEPTIVE_FIELD
        convolved, total, columns = known.convolved, known.sum, known.columns
        if waiting.shape[1] >= needed:
            ready = waiting.shape[1] - (waiting.shape[1] - needed) % COLUMN_HOP
            made, convolved = self._network.columns(waiting[:, :ready], convolved)
            total, columns = total + made.sum(dim=1), columns + made.shape[1]
            waiting = waiting[:, ready:].clone()
        return _Known(
            frames=known.frames + energies.shape[1],
            average=average,
            waiting=waiting,
            convolved=convolved,
            sum=total,
            columns=columns,
        )

    def _needed(self, frames: int) -> int:
        """Return samples after which so many frames do not change any more."""
        return (frames - 1) * self._hop + self._half + 1

    def _known_before(self, frames: int, end: int) -> "_Known":
        """Return the last state whose frames an utterance of `end` samples has."""
        for known in reversed(self._known):
            if known.frames <= frames and (known.frames == 0 or self._needed(known.frames) <= end):
                return known
        raise ValueError("that end lies too far back")

    def _energies(self, start: int, stop: int, end: int) -> Tensor:
        """LEAF's energies [filters, stop - start] of frames start..stop of audio that ends at sample `end`."""
        begin, finish = start * self._hop - self._half, self._needed(stop)
        samples = torch.from_numpy(
            self._samples[begin - self._first : min(finish, end) - self._first]
        )
        padded = nn.functional.pad(samples, (0, finish - begin - len(samples)))
        return self._network.energies(padded.to(self._network.device))


_FIRST = SAMPLE_RATE
"""Samples of a buffered utterance from which on there are estimates."""
_GROWTH = 1.9
"""How much longer than at the last estimate a buffered utterance is before the next is made: after 1, 2, 4 ... s."""
_NEW = 2 * SAMPLE_RATE
"""Samples that an estimate encodes at most where the encoder pools frames."""


class Buffered:
    """One utterance's embedding by any encoder: its samples are kept, and embedded when asked for.

    Of a longer utterance than the encoder takes, the last so many samples before its end are embedded.

    Args:
        encoder: Its weights are final; streams share it.
    """

    look_back = LOOK_BACK

    def __init__(self, encoder: AudioEncoder) -> None:
        self._encoder = encoder
        self._pooling = encoder if isinstance(encoder, Pooling) else None
        self._device = _device_of(encoder)
        self._most = encoder.max_samples
        self._pieces: list[Samples] = []
        self._first = 0
        """Index of the first sample kept."""
        self._pushed = 0
        self._estimated = 0
        """Samples known at the last estimate."""
        self._estimate: Tensor | None = None
        self._frames = RunningStatistics()
        """Of the parts that estimates encoded."""

    def push(self, samples: Samples) -> None:
        """Take the samples that follow, float32 in [-1, 1], any number of them."""
        self._pieces.append(np.array(samples, np.float32))
        self._pushed += len(samples)
        while self._pushed - self._first - len(self._pieces[0]) >= self._most + self.look_back:
            self._first += len(self._pieces.pop(0))

    @torch.inference_mode()
    def estimate(self) -> Tensor | None:
        """Return about the embedding of what was pushed, or the last one made while that is not about twice as long.

        So estimates cost less than the embedding at the end: where the encoder pools frames, each encodes the last
        two seconds at most, and pools them with what was encoded before.
        """
        if self._pushed >= max(_FIRST, _GROWTH * self._estimated):
            begin = max(self._estimated, self._pushed - _NEW)
            self._estimated = self._pushed
            self._estimate = self._pooled(begin)
        return self._estimate

    @torch.inference_mode()
    def embedding(self, end: int | None = None) -> Tensor:
        """Return the embedding [size] or [steps, size] of the utterance as if it ended at a sample.

        Args:
            end: Samples from the beginning; None for all that was pushed.

        Raises:
            ValueError: It lies in the future, or too far back.
        """
        end = self._pushed if end is None else end
        if end > self._pushed or end < 0:
            raise ValueError(f"the utterance has {self._pushed} samples, not {end}")
        if self._pushed - end > self.look_back:
            raise ValueError("that end lies too far back")
        made = self._encoder(self._wave(max(0, end - self._most), end)[None])[0]
        return made.float().cpu()

    def _pooled(self, begin: int) -> Tensor:
        """Return the embedding by what was encoded before and what was pushed from a sample on."""
        if self._pooling is None:
            return self.embedding()
        self._frames.push(self._pooling.voiced_frames(self._wave(begin, self._pushed)))
        return self._pooling.pooled(*self._frames.moments()).float().cpu()

    def _wave(self, begin: int, end: int) -> Tensor:
        """Return samples [T], T >= 1, of those kept."""
        kept = np.concatenate(self._pieces) if self._pieces else np.zeros(0, np.float32)
        self._pieces = [kept]
        wave = kept[max(0, begin - self._first) : end - self._first]
        return torch.from_numpy(wave if len(wave) else np.zeros(1, np.float32)).to(self._device)


def _device_of(encoder: Any) -> torch.device:
    """Return where an encoder's weights are."""
    tensors = chain(encoder.parameters(), encoder.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


@dataclass(frozen=True)
class _Known:
    """The state after some frames: enough to continue from there, or to end there."""

    frames: int
    average: Tensor | None
    """PCEN's."""
    waiting: Tensor
    """Features that the next column needs."""
    convolved: State
    sum: Tensor
    """Of the columns."""
    columns: int
