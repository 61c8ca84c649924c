# SPDX-License-Identifier: EUPL-1.2
"""Opens a file, or the one inside a zip or gzip, and picks its reader."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from poorter.city.errors import Invalid, NotFound
from poorter.load.mapping import Map, Source
from poorter.load.sources.separated import read_csv, read_table
from poorter.load.sources.structured import read_geojson, read_json
from poorter.load.sources.tables import read_excel, read_geopackage
from poorter.load.sources.xml import read_xml

Numbered = tuple[int, Any]  # a row, or its cells; a text instead of a row says why it is refused
UNPACKED_BYTES_MAX = 64 * 1024**3


@dataclass(slots=True)
class Opened:
    """Rows, and how many bytes of how many are read."""

    rows: Iterator[Numbered]
    total_bytes: int
    read_bytes: Callable[[], int]


@contextmanager
def open_rows(path: Path, map_: Map) -> Iterator[Opened]:
    """The rows of the file. Raises NotFound, or Invalid for a damaged or truncated one."""
    if not path.is_file():
        raise NotFound(f"{path} is not there")
    reader = {
        "gtfs-rt": _transit,
        "csv": read_csv,
        "json": read_json,
        "geojson": read_geojson,
        "xml": read_xml,
        "excel": read_excel,
        "geopackage": read_geopackage,
    }[map_.source.format]
    with _opened(path, map_, reader) as opened:
        yield opened


def _transit(path: Path, stream: BinaryIO, source: Source) -> Iterator[Numbered]:
    from poorter.load.sources.transit import read_transit  # protobuf, where there is such a feed

    return read_transit(path, stream, source)


@contextmanager
def open_table(path: Path, map_: Map) -> Iterator[Opened]:
    """The header of a CSV file and then the cells of each row, in its order. Raises the same."""
    if not path.is_file():
        raise NotFound(f"{path} is not there")
    with _opened(path, map_, read_table) as opened:
        yield opened


@contextmanager
def _opened(path: Path, map_: Map, reader: Callable[..., Iterator[Numbered]]) -> Iterator[Opened]:
    with path.open("rb") as raw:
        stream, total = _unpacked(path, raw, map_)
        position = _position(stream)
        yield Opened(_guarded(path, reader(path, stream, map_.source)), total, position)


def _position(stream: BinaryIO) -> Callable[[], int]:
    def tell() -> int:
        try:
            return stream.tell()
        except (ValueError, OSError):
            return 0

    return tell


def _unpacked(path: Path, raw: BinaryIO, map_: Map) -> tuple[BinaryIO, int]:
    magic = raw.read(4)
    raw.seek(0)
    if map_.source.format in ("excel", "geopackage"):
        return raw, path.stat().st_size
    if magic[:2] == b"PK":
        return _member(path, raw, map_.source.member)
    if magic[:2] == b"\x1f\x8b":
        unzipped = io.BufferedReader(gzip.GzipFile(fileobj=raw))
        return unzipped, path.stat().st_size * 4
    return raw, path.stat().st_size


def _member(path: Path, raw: BinaryIO, name: str) -> tuple[BinaryIO, int]:
    try:
        archive = zipfile.ZipFile(raw)
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        chosen = name or (names[0] if len(names) == 1 else "")
        if chosen not in names:
            raise Invalid(f"{path.name} holds {', '.join(names)[:300]}: name one as source.member")
        info = archive.getinfo(chosen)
        if info.file_size > UNPACKED_BYTES_MAX:
            raise Invalid(f"{chosen} is too large unpacked")
        return io.BufferedReader(archive.open(info)), info.file_size  # type: ignore[type-var]
    except zipfile.BadZipFile as wrong:
        raise Invalid(f"{path.name} is damaged: {wrong}") from None


def _guarded(path: Path, rows: Iterator[Numbered]) -> Iterator[Numbered]:
    """What was read before a damaged place stands; the damage is one clear error."""
    last: Numbered = (0, None)
    try:
        for last in rows:
            yield last
    except (zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as wrong:
        raise Invalid(f"{path.name} is damaged or cut off after line {last[0]}: {wrong}") from None
