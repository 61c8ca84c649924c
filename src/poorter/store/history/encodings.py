# SPDX-License-Identifier: EUPL-1.2
"""Parquet's encodings, decoded whole pages at a time with arrays; pure.

As "Parquet encoding definitions" of the Apache Parquet format 2.12 has them. Arrays of bytes are
uint8. What can't be what it says raises ValueError or IndexError.
"""

from __future__ import annotations

from itertools import repeat
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]

_LENGTH = Struct("<I").unpack_from
#: so that eight bytes can be read at the last one, and one more after them
_SPARE = np.zeros(16, np.uint8)
#: the bits that a number of so many bits has
_MASKS: Numbers = np.array([2**bits - 1 for bits in range(65)], np.uint64)
_VARINT_BITS_MAX = 70
_PART_MAX = 1024
_WHOLE_BITS = 57  # in the eight bytes in which their first bit is, wherever in a byte that is


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number in groups of seven bits, and where it ends."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = 0, 0
    while byte >= 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift >= _VARINT_BITS_MAX:
            raise ValueError("a number without an end")
        at += 1
        byte = data[at]
    return number | byte << shift, at + 1


def zigzag(number: int) -> int:
    """The signed number that an unsigned one stands for."""
    return (number >> 1) ^ -(number & 1)


def unpacked(data: Bytes, first_bits: Places, widths: Places | int) -> Numbers:
    """Numbers of so many bits (at most 64), the first of each at a position in bits; the least
    bit comes first."""
    padded = np.concatenate((data, _SPARE))
    words: Numbers = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    at = first_bits >> 3
    shift = (first_bits & 7).astype(np.uint64)
    numbers = words.take(at) >> shift
    if np.max(widths, initial=0) > _WHOLE_BITS:
        above = padded.take(at + 8).astype(np.uint64)
        numbers |= above << np.uint64(63) - shift << np.uint64(1)  # by 64 is by nothing
    found: Numbers = numbers & _MASKS[widths]
    return found


def delta_binary_packed(data: bytes, count: int) -> NDArray[np.int64]:
    """Whole numbers as what each differs by from the one before, in blocks."""
    block, at = varint(data, 0)
    parts, at = varint(data, at)
    said, at = varint(data, at)
    first, at = varint(data, at)
    each = block // max(1, parts)
    if said != count or each * parts != block or each % 32 or not 0 < each <= _PART_MAX:
        raise ValueError(f"{said} numbers by {each} where {count} should be")
    begins: list[int] = []  # the byte after the widths of each block
    widths = bytearray()
    least: list[int] = []
    left = count - 1
    while left > 0:
        by, at = varint(data, at)
        least.append(zigzag(by))
        after = at + parts
        of_block = data[at:after]
        if left < block:  # the widths of parts that nothing is left for may be anything
            of_block = of_block[: -(-left // each)].ljust(parts, b"\0")
        widths += of_block
        begins.append(after)
        at = after + sum(of_block) * each // 8
        left -= block
    if at > len(data):
        raise ValueError("a page ends within its numbers")
    sizes = np.frombuffer(widths, np.uint8).astype(np.int64).reshape(-1, parts)
    ends = np.cumsum(sizes, 1) * each + np.array(begins, np.int64)[:, None] * 8
    sizes, ends = sizes[:, :, None], ends[:, :, None]
    found = unpacked(np.frombuffer(data, np.uint8), ends + (np.arange(each) - each) * sizes, sizes)
    found += np.array(least, np.int64).view(np.uint64)[:, None, None]
    numbers = np.empty(count, np.uint64)
    numbers[:1] = np.array([zigzag(first)], np.int64).view(np.uint64)
    numbers[1:] = found.ravel()[: count - 1]
    return np.cumsum(numbers, dtype=np.uint64).view(np.int64)


def hybrid(data: bytes, at: int, width: int, count: int) -> NDArray[np.int64]:
    """Numbers of so many bits: runs of one number, and runs packed side by side."""
    starts: list[int] = []
    firsts: list[int] = []  # the number, or the bit at which the packed ones begin
    steps: list[int] = []
    bytes_each = (width + 7) // 8
    found = 0
    while found < count:
        head, at = varint(data, at)
        if head < 2:
            continue  # a run of nothing
        starts.append(found)
        if head & 1:
            firsts.append(at * 8 if width else 0)
            steps.append(width)
            at += (head >> 1) * width
            found += (head >> 1) * 8
        else:
            firsts.append(int.from_bytes(data[at : at + bytes_each], "little"))
            steps.append(0)
            at += bytes_each
            found += head >> 1
    if len(starts) == 1 and not steps[0]:
        return np.full(count, firsts[0], np.int64)
    return _of_runs(data, width, count, (starts, firsts, steps))


def _of_runs(
    data: bytes, width: int, count: int, runs: tuple[list[int], list[int], list[int]]
) -> NDArray[np.int64]:
    starts, firsts, steps = (np.array(one, np.int64) for one in runs)
    begins = np.zeros(count, np.int64)
    begins[starts[1:]] = 1
    run = np.cumsum(begins)
    numbers: NDArray[np.int64] = (firsts - starts * steps).take(run)
    if not steps.any():  # also of numbers without any bits
        return numbers
    numbers += np.arange(count) * steps.take(run)
    packed = slice(None) if steps.all() else (steps > 0).take(run)
    bits = numbers[packed]
    numbers[packed] = unpacked(np.frombuffer(data, np.uint8), bits, width).view(np.int64)
    return numbers


def byte_stream_split(data: bytes, kind: np.dtype[Any], count: int) -> NDArray[Any]:
    """The first bytes of all numbers, then the second bytes, and so on."""
    streams = np.frombuffer(data, np.uint8, count * kind.itemsize).reshape(kind.itemsize, count)
    return np.ascontiguousarray(streams.T).view(kind).ravel()


def plain(data: bytes, kind: np.dtype[Any] | None, count: int) -> NDArray[Any]:
    """Numbers of a kind one after another; None: strings of bytes, each after its length."""
    if kind is not None:
        return np.frombuffer(data, kind, count)
    if count * 4 > len(data):
        raise ValueError("more words than there is place for")
    words = np.empty(count, object)
    at = 0
    for number in range(count):
        (length,) = _LENGTH(data, at)
        at += 4 + length
        words[number] = data[at - length : at]
    if at > len(data):
        raise ValueError("a page ends within its words")
    return words


def texts(words: NDArray[Any]) -> NDArray[Any]:
    """Strings of bytes as text. Raises UnicodeDecodeError, which is a ValueError."""
    found = np.empty(len(words), object)
    found[:] = list(map(bytes.decode, words, repeat("utf-8")))
    return found
