# SPDX-License-Identifier: EUPL-1.2
"""CSV, streaming. A row that can't be read, or is too short or long, is refused by its line."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from poorter.city.errors import Invalid
from poorter.load.mapping import Source

CELL_CHARS_MAX = 1024 * 1024
LINE_CHARS_MAX = 16 * 1024 * 1024
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_csv(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """(line, row) of each record; a text instead of a row says why it is refused.

    Raises: Invalid for an empty file, one in another encoding, or a header that can't be used.
    """
    records = read_table(path, stream, source)
    _, header = next(records)
    for line, cells in records:
        yield line, cells if isinstance(cells, str) else dict(zip(header, cells, strict=True))


def read_table(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """The header, then (line, cells) of each record, as many as the header has. The same else."""
    csv.field_size_limit(CELL_CHARS_MAX)
    encoding = _encoding(path, stream, source.encoding)
    wrapped = io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")
    with wrapped as text:
        try:
            yield from _records(path, _Lines(text), source)
        except UnicodeError as wrong:
            raise Invalid(f"{path.name} is not {source.encoding}: {wrong}") from None


def _encoding(path: Path, stream: BinaryIO, name: str) -> str:
    try:
        known = codecs.lookup(name)
        "x".encode(known.name)  # not for bytes to bytes, such as base64
    except LookupError:
        raise Invalid(f"there is no text encoding {name!r:.60}") from None
    if known.name != "utf-8":
        return known.name
    start = stream.peek(4)[:4] if isinstance(stream, io.BufferedReader) else b""
    if start.startswith(_UTF16):
        raise Invalid(f'{path.name} is UTF-16: say encoding = "utf-16" under [source]')
    return "utf-8-sig"


class _Lines:
    """Lines of a text, each in memory only as far as a line may go."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = 0
        #: the last line that went on for too long, 0: none did
        self.cut = 0

    def __iter__(self) -> Iterator[str]:
        readline, most = self._text.readline, LINE_CHARS_MAX
        while line := readline(most):
            self.number += 1
            if len(line) == most and not line.endswith(("\n", "\r")):
                self.cut = self.number
                while (rest := readline(most)) and rest[-1] not in "\r\n":
                    pass
                line = "\n"
            yield line


def _records(path: Path, lines: _Lines, source: Source) -> Iterator[tuple[int, Any]]:
    each = iter(lines)
    for _ in range(source.skip_lines):
        next(each, None)
    reader = csv.reader(each, delimiter=source.separator)
    header = source.header or _header(path, reader)
    check_header(path, header)
    yield 0, header
    width, end, more = len(header), lines.number, True
    while more:
        try:
            for cells in reader:
                first, end = end + 1, lines.number
                if len(cells) == width and lines.cut < first and "".join(cells).isascii():
                    yield first, cells
                elif cells or lines.cut >= first:
                    yield first, _odd(cells, width, first, lines, source) or cells
            more = False
        except csv.Error as wrong:
            end = lines.number
            yield end, f"not a CSV record: {wrong}"


def _odd(cells: list[str], width: int, first: int, lines: _Lines, source: Source) -> str:
    """Why a record is refused that is not quite like most; nothing when it isn't."""
    if lines.cut >= first:
        return f"a line of over {LINE_CHARS_MAX} characters"
    if len(cells) != width:
        return f"{len(cells)} columns where the header has {width}" + _to(first, lines)
    if _has_surrogates(cells):
        return "not UTF-8" if source.encoding == "utf-8" else f"not {source.encoding}"
    return ""


def _to(first: int, lines: _Lines) -> str:
    """A quote that nobody closes swallows the lines after it."""
    if lines.number == first:
        return ""
    return f"; a quoted cell makes lines {first} to {lines.number} one record"


def _header(path: Path, reader: Any) -> list[str]:
    try:
        return [name.strip() for name in next(reader)]
    except StopIteration:
        raise Invalid(f"{path.name} is empty") from None
    except csv.Error as wrong:
        raise Invalid(f"{path.name}: its first line is no CSV header: {wrong}") from None


def check_header(path: Path, header: list[str]) -> None:
    """Raises Invalid for a column that is there twice, or that is no text."""
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise Invalid(f"{path.name} has two columns named {', '.join(sorted(twice))[:200]!r}")
    if _has_surrogates(header):
        raise Invalid(f"{path.name}: its header is not UTF-8: say the encoding under [source]")


def _has_surrogates(cells: list[str]) -> bool:
    return any("\udc80" <= char <= "\udcff" for cell in cells for char in cell)
