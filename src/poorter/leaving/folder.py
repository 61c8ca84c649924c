# SPDX-License-Identifier: EUPL-1.2
"""All that a store keeps as files of open formats, and the rows of those files again.

What lies behind walls stands apart, under `sealed/`: values there are readable with the keys of
persons only, which no export holds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

import msgspec

from poorter.city.errors import Invalid
from poorter.gate.permit import SEALED
from poorter.gate.pseudonyms import is_kept
from poorter.leaving.columns import TABLES, HistoryFiles, read_history, read_table, write_table
from poorter.leaving.forms import LINES, entity_form, entity_row, line_form, line_row, record_row
from poorter.store.contents import (
    ROW_TYPES,
    Contents,
    Digest,
    EntityRow,
    ObservationRow,
    RecordRow,
    Row,
)

Kinds = dict[str, tuple[int, str]]
ENTITIES, VERSIONS, HISTORY, RECORDS, PRIVATE = (
    "entities.ndjson",
    "versions.csv",
    "history",
    "records",
    "ledger-private",
)
SEALED_FOLDER = "sealed"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def write_contents(contents: Contents, folder: Path) -> Kinds:
    """Write all of it; how many rows of each kind, with their fingerprint."""
    digest = Digest()
    folder.mkdir(parents=True, exist_ok=True)
    _write_entities(folder, digest.through(contents.rows(EntityRow)))
    _write_history(folder, digest.through(contents.rows(ObservationRow)))
    _write_records(folder / RECORDS, digest.through(contents.rows(RecordRow)))
    for row_type, name in LINES.items():
        with (folder / name).open("wb") as out:
            for row in digest.through(contents.rows(row_type)):
                out.write(_encode(line_form(row)) + b"\n")
    (folder / PRIVATE).mkdir()
    for row_type, (name, schema) in TABLES.items():
        private = digest.through(contents.rows(row_type))
        write_table(folder / PRIVATE / name, schema, private)
    return digest.by_kind()


def read_contents(folder: Path) -> Iterator[Row]:
    """The rows of such files, in the order in which a store takes them in. Raises Invalid."""
    for row_type in ROW_TYPES:
        if row_type is EntityRow:
            yield from _read_entities(folder)
            yield from _read_entities(folder / SEALED_FOLDER)
        elif row_type is ObservationRow:
            yield from read_history(folder / HISTORY)
            yield from read_history(folder / SEALED_FOLDER / HISTORY)
        elif row_type is RecordRow:
            for file in sorted((folder / RECORDS).glob("*.ndjson")):
                yield from map(record_row, _lines(file))
        elif row_type in LINES:
            yield from (line_row(form, row_type) for form in _lines(folder / LINES[row_type]))
        else:
            name, schema = TABLES[row_type]
            yield from read_table(folder / PRIVATE / name, schema, row_type)


def _write_entities(folder: Path, rows: Iterable[Row]) -> None:
    """The state, and beside it what NGSI-LD has no word for: version, and whether it is gone."""
    with ExitStack() as opened:
        outs: dict[bool, tuple[IO[bytes], Any]] = {}
        for row in rows:
            assert isinstance(row, EntityRow)
            sealed = row.types[0][:1] == SEALED
            if sealed not in outs:
                where = folder / SEALED_FOLDER if sealed else folder
                where.mkdir(exist_ok=True)
                out = opened.enter_context((where / ENTITIES).open("wb"))
                words = opened.enter_context((where / VERSIONS).open("w", newline=""))
                outs[sealed] = out, csv.writer(words)
                outs[sealed][1].writerow(("entity", "version", "live"))
            into, versions = outs[sealed]
            into.write(_encode(entity_form(row)) + b"\n")
            versions.writerow((row.urn, row.version, int(row.live)))


def _write_history(folder: Path, rows: Iterable[Row]) -> None:
    with ExitStack() as closing:
        files = [HistoryFiles(one / HISTORY) for one in (folder, folder / SEALED_FOLDER)]
        for one in files:
            closing.callback(one.close)
        for row in rows:
            assert isinstance(row, ObservationRow)
            files[is_kept(row.urn)].add(row)


def _read_entities(folder: Path) -> Iterator[EntityRow]:
    if not (folder / ENTITIES).exists():
        return
    with (folder / VERSIONS).open(newline="") as words:
        versions = csv.reader(words)
        next(versions, None)
        for form, said in zip(_lines(folder / ENTITIES), versions, strict=True):
            if form.get("id") != said[0]:
                raise Invalid(f"{folder / VERSIONS}: {said[0]} stands where {form.get('id')} does")
            yield entity_row(form, int(said[1]), said[2] == "1")


def _write_records(folder: Path, rows: Iterable[Row]) -> None:
    """A file a kind; records of a kind come one after the other."""
    folder.mkdir()
    for kind, group in groupby(rows, attrgetter("of")):
        with (folder / f"{kind}.ndjson").open("ab") as out:
            for row in group:
                out.write(_encode(line_form(row)) + b"\n")


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            try:
                form: dict[str, Any] = _decode(line)
            except msgspec.MsgspecError as wrong:
                raise Invalid(f"{file.name}, line {number}: {wrong}") from None
            yield form
