# SPDX-License-Identifier: EUPL-1.2
"""CSV, streaming. A row that is not UTF-8, or too short or long, is refused by its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from poorter.city.errors import Invalid
from poorter.load.mapping import Source

CELL_CHARS_MAX = 1024 * 1024


def read_csv(path: Path, stream: BinaryIO, source: Source) -> Iterator[tuple[int, Any]]:
    """(line, row) of each record; a text instead of a row says why it is refused."""
    csv.field_size_limit(CELL_CHARS_MAX)
    wrapped = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    with wrapped as text:
        yield from _records(path, text, source)


def _records(path: Path, text: io.TextIOWrapper, source: Source) -> Iterator[tuple[int, Any]]:
    for _ in range(source.skip_lines):
        text.readline()
    reader = csv.reader(text, delimiter=source.separator)
    header = source.header or _header(path, reader)
    width = len(header)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            yield source.skip_lines + reader.line_num, f"not a CSV record: {wrong}"
            continue
        line = source.skip_lines + reader.line_num
        if len(cells) != width:
            if cells:
                yield line, f"{len(cells)} columns where the header has {width}"
            continue
        if not "".join(cells).isascii() and _has_surrogates(cells):
            yield line, "not UTF-8"
            continue
        yield line, dict(zip(header, cells, strict=True))


def _header(path: Path, reader: Any) -> list[str]:
    try:
        header = [name.strip() for name in next(reader)]
    except StopIteration:
        raise Invalid(f"{path.name} is empty") from None
    except csv.Error as wrong:
        raise Invalid(f"{path.name}: its first line is no CSV header: {wrong}") from None
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise Invalid(f"{path.name} has two columns named {', '.join(sorted(twice))[:200]}")
    return header


def _has_surrogates(cells: list[str]) -> bool:
    return any("\udc80" <= char <= "\udcff" for cell in cells for char in cell)
