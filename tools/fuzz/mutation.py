"""Mutations of bytes, the usual ones: flips, cuts, copies, interesting numbers."""

from collections.abc import Callable

from numpy.random import Generator

_MAX_MUTATIONS = 4
_MAX_SPAN = 2000
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEAD = 512
"""Bytes at the beginning that are hit more often: headers decide the most."""


def mutated(data: bytes, rng: Generator) -> bytes:
    """Give the data with one to four mutations."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, _MAX_MUTATIONS + 1))):
        mutation = _MUTATIONS[int(rng.integers(len(_MUTATIONS)))]
        mutation(result, rng)
    return bytes(result)


def _place(data: bytearray, rng: Generator) -> int:
    end = len(data) if rng.random() < 0.5 else min(_HEAD, len(data))
    return int(rng.integers(max(1, end)))


def _span(data: bytearray, rng: Generator) -> slice:
    place = _place(data, rng)
    return slice(place, place + int(rng.integers(1, _MAX_SPAN)))


def _flip(data: bytearray, rng: Generator) -> None:
    for _ in range(int(rng.integers(1, 16))):
        if data:
            data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: Generator) -> None:
    span = _span(data, rng)
    size = len(data[span])
    data[span] = rng.bytes(size) if rng.random() < 0.5 else bytes([int(rng.integers(256))]) * size


def _insert(data: bytearray, rng: Generator) -> None:
    place = _place(data, rng)
    data[place:place] = rng.bytes(int(rng.integers(1, _MAX_SPAN)))


def _delete(data: bytearray, rng: Generator) -> None:
    del data[_span(data, rng)]


def _repeat(data: bytearray, rng: Generator) -> None:
    piece = bytes(data[_span(data, rng)])
    place = _place(data, rng)
    data[place:place] = piece * int(rng.integers(1, 5))


def _cut(data: bytearray, rng: Generator) -> None:
    del data[_place(data, rng) :]


def _number(data: bytearray, rng: Generator) -> None:
    width = int(rng.choice([1, 2, 4, 8]))
    value = int(rng.choice(_NUMBERS)) & (1 << 8 * width) - 1
    place = _place(data, rng)
    order = "little" if rng.random() < 0.5 else "big"
    data[place : place + width] = value.to_bytes(width, order)  # type: ignore[arg-type]


_MUTATIONS: tuple[Callable[[bytearray, Generator], None], ...] = (
    _flip,
    _overwrite,
    _insert,
    _delete,
    _repeat,
    _cut,
    _number,
    _number,
)
