# SPDX-License-Identifier: EUPL-1.2
"""Reads Parquet as segments are written: flat columns, zstd, pages of version 1.

Arrow reads all of Parquet, and takes 35 MiB of a city's memory and a third of a second for that the
first time; what segments have of it is a page of thrift and four encodings. Whoever writes one has
arrow, in a process that ends (`write.py`); tests hold both readers against each other.

Source: Apache Parquet format 2.12, its `parquet.thrift` for the numbers of fields; the compact
protocol of Apache Thrift.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from numpy.typing import NDArray

from poorter.store.history import encodings
from poorter.store.history.encodings import varint, zigzag
from poorter.store.history.rows import Ints, Mask

_MAGIC = b"PAR1"
_TAIL = 8
_CHUNK_BYTES_MAX = 256 * 1024 * 1024
_CHUNK_VALUES_MAX = 16 * 1024 * 1024
_KINDS: dict[int, np.dtype[Any] | None] = {
    1: np.dtype("<i4"),
    2: np.dtype("<i8"),
    5: np.dtype("<f8"),
    6: None,
}
_UTF8 = 0
_OPTIONAL = 1
_UNCOMPRESSED, _ZSTD = 0, 6
_UNKNOWN = -1
_DATA, _DICTIONARY = 0, 2
_PLAIN, _PLAIN_DICTIONARY, _DELTA, _RLE_DICTIONARY, _SPLIT = 0, 2, 5, 8, 9

#: what bytes that are something else come to
_WRONG = (
    AttributeError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
    zstandard.ZstdError,
)

Field = dict[int, Any]


class Broken(Exception):  # noqa: N818 - as the tree of errors names them
    """The file is not, or not any more, what a segment is."""


class Column(NamedTuple):
    """One row group of a column. `there`: which rows have a value, None when all do; the others
    hold 0 or None."""

    values: NDArray[Any]
    there: Mask | None

    def present(self) -> Mask:
        """Which rows have a value."""
        return np.ones(len(self.values), bool) if self.there is None else self.there


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a column holds: numbers, or words when `kind` is None."""

    kind: np.dtype[Any] | None
    is_text: bool
    is_optional: bool


class File:
    """An open file; any number of threads may read it.

    Raises: OSError, and Broken when it is no such file.
    """

    def __init__(self, file: Path) -> None:
        self._handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._handle)
        try:
            self._read_footer(file)
        except _WRONG as wrong:
            raise Broken(f"its end: {wrong}") from None

    def _read_footer(self, file: Path) -> None:
        size = os.fstat(self._handle).st_size
        tail = os.pread(self._handle, _TAIL, max(0, size - _TAIL))
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length + _TAIL > size:
            raise ValueError("no Parquet, or cut off")
        footer, _ = _struct(os.pread(self._handle, length, size - _TAIL - length), 0)
        self.metadata = {pair[1]: pair.get(2, b"") for pair in footer.get(5, ())}
        self._shapes: dict[str, _Shape] = {}
        for one in footer[2][1:]:
            name = one[4].decode("utf-8")
            self._shapes[name] = _Shape(_KINDS[one[1]], one.get(6) == _UTF8, one[3] == _OPTIONAL)
        self.names = tuple(self._shapes)
        self._places = {name: place for place, name in enumerate(self.names)}
        groups = [[chunk[3] for chunk in group[1]] for group in footer[4]]
        if any(len(chunks) != len(self.names) for chunks in groups):
            raise ValueError("a row group without one of the columns")
        self.groups = len(groups)
        #: of each chunk: where it begins, its bytes, how many values, how it is compressed
        self._chunks: Ints = np.array(
            [[(c.get(11, c[9]), c[7], c[5], c[4]) for c in chunks] for chunks in groups], np.int64
        ).reshape(self.groups, len(self.names), 4)
        bounds = [[_whole(chunks[0][12][field]) for field in (6, 5)] for chunks in groups]
        #: the least and the greatest number of the first column in each row group
        self.first, self.last = np.array(bounds, np.int64).reshape(-1, 2).T

    def read(self, group: int, names: Iterable[str]) -> dict[str, Column]:
        """Columns of a row group."""
        return {name: self._column(group, name) for name in names}

    def _column(self, group: int, name: str) -> Column:
        begins, size, count, codec = self._chunks[group, self._places[name]].tolist()
        if not (0 <= size <= _CHUNK_BYTES_MAX and 0 < count <= _CHUNK_VALUES_MAX and begins >= 0):
            raise Broken(f"{name}: {count} values in {size} bytes at {begins}")
        data = os.pread(self._handle, size, begins)
        if len(data) != size:
            raise Broken(f"{name} is cut off")
        try:
            return _column(data, count, codec, self._shapes[name])
        except _WRONG as wrong:
            raise Broken(f"{name}: {wrong}") from None


def _whole(number: bytes) -> int:
    return int.from_bytes(number, "little", signed=True)


def _column(data: bytes, count: int, codec: int, shape: _Shape) -> Column:
    dictionary: NDArray[Any] | None = None
    parts: list[Column] = []
    at, left = 0, count
    while left > 0:
        head, at = _struct(data, at)
        if head[3] < 0:
            raise ValueError("a page of less than no bytes")
        page = _unpressed(data[at : at + head[3]], codec, head[2])
        at += head[3]
        if head[1] == _DICTIONARY:
            dictionary = encodings.plain(page, shape.kind, head[7][1])
            if shape.is_text:
                dictionary = encodings.texts(dictionary)
        elif head[1] == _DATA:
            size, encoding = head[5][1], head[5][2]
            if not 0 <= size <= left:
                raise ValueError(f"{size} values where {left} should be")
            parts.append(_page(page, size, encoding, shape, dictionary))
            left -= size
        else:
            raise ValueError(f"a page of kind {head[1]}")
    return parts[0] if len(parts) == 1 else _joined(parts)


def _page(
    page: bytes, size: int, encoding: int, shape: _Shape, dictionary: NDArray[Any] | None
) -> Column:
    there: Mask | None = None
    number = size
    if shape.is_optional:
        length = int.from_bytes(page[:4], "little")
        there = encodings.hybrid(page[4 : 4 + length], 0, 1, size).astype(bool)
        page = page[4 + length :]
        number = int(np.count_nonzero(there))
    if number == 0:
        return Column(_empty(size, shape), there)
    values = _values(page, number, encoding, shape, dictionary)
    if number == size:
        return Column(values, None)
    whole = _empty(size, shape)
    whole[there] = values
    return Column(whole, there)


def _values(
    page: bytes, number: int, encoding: int, shape: _Shape, dictionary: NDArray[Any] | None
) -> NDArray[Any]:
    if encoding in (_RLE_DICTIONARY, _PLAIN_DICTIONARY):
        if dictionary is None:
            raise ValueError("words of a dictionary that is not there")
        return dictionary[encodings.hybrid(page, 1, page[0], number)]
    if encoding == _PLAIN:
        values = encodings.plain(page, shape.kind, number)
        return encodings.texts(values) if shape.is_text else values
    if shape.kind is not None and encoding == _SPLIT:
        return encodings.byte_stream_split(page, shape.kind, number)
    if shape.kind is not None and encoding == _DELTA:
        return encodings.delta_binary_packed(page, number).astype(shape.kind)
    raise ValueError(f"encoding {encoding}")


def _empty(size: int, shape: _Shape) -> NDArray[Any]:
    return np.full(size, None, object) if shape.kind is None else np.zeros(size, shape.kind)


def _joined(parts: list[Column]) -> Column:
    if not parts:
        raise ValueError("no page")
    values = np.concatenate([part.values for part in parts])
    if all(part.there is None for part in parts):
        return Column(values, None)
    return Column(values, np.concatenate([part.present() for part in parts]))


_of_thread = threading.local()


def _unpressed(data: bytes, codec: int, size: int) -> bytes:
    if codec == _UNCOMPRESSED:
        return data
    if codec != _ZSTD or not 0 <= size <= _CHUNK_BYTES_MAX:
        raise ValueError(f"compressed by method {codec} from {size} bytes")
    if zstandard.frame_content_size(data) not in (size, _UNKNOWN):  # it gets that much memory
        raise ValueError("another size than it should have")
    if not hasattr(_of_thread, "zstd"):
        _of_thread.zstd = zstandard.ZstdDecompressor()
    found: bytes = _of_thread.zstd.decompress(data, max_output_size=size)
    if len(found) != size:
        raise ValueError("another size than it should have")
    return found


_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_DEPTH_MAX = 20


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[Field, int]:
    """Fields by number, as the compact protocol of thrift has them, and where they end."""
    if depth > _DEPTH_MAX:
        raise ValueError("nested too deep")
    fields: Field = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        kind = head & 15
        if kind == 0:
            return fields, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = varint(data, at)
            number = zigzag(number)
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        elif kind == _BINARY:
            length, at = varint(data, at)
            fields[number] = data[at : at + length]
            at += length
        else:
            fields[number], at = _value(data, at, kind, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth + 1)
    if kind == _BINARY:
        length, at = varint(data, at)
        return data[at : at + length], at + length
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[at], at + 1
    if kind > _DOUBLE:
        raise ValueError(f"a field of kind {kind}")
    number, at = varint(data, at)
    return zigzag(number), at


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head = data[at]
    size, at = (head >> 4, at + 1) if head >> 4 < 15 else varint(data, at + 1)
    if size > len(data):
        raise ValueError("a list longer than all there is")
    found: list[Any] = []
    for _ in range(size):
        one, at = _value(data, at, head & 15, depth)
        found.append(one)
    return found, at
