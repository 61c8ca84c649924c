# SPDX-License-Identifier: EUPL-1.2
"""Rows become files that others read, and rows again that are the same."""

import csv
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.contract.test_contents import ADMINISTER, filled
from tests.permits import READ

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid
from poorter.leaving.folder import read_contents, write_contents
from poorter.store.contents import Digest
from poorter.store.sqlite import open_store


def written(folder: Path) -> dict[str, tuple[int, str]]:
    clock = ManualClock()
    store = open_store(folder / "store", clock)
    try:
        filled(store, clock)
        with store.contents(READ) as contents:
            return write_contents(contents, folder / "export")
    finally:
        store.close()


def test_what_was_written_is_read_the_same(tmp_path: Path) -> None:
    kinds = written(tmp_path)
    digest = Digest()
    rows = [*digest.through(read_contents(tmp_path / "export"))]
    assert digest.by_kind() == kinds
    assert all(number for number, _ in kinds.values())
    other = open_store(tmp_path / "other", ManualClock())
    try:
        other.take_in(ADMINISTER, rows)
        with other.contents(READ) as contents:
            again = write_contents(contents, tmp_path / "again")
    finally:
        other.close()
    assert again == kinds


def test_the_files_are_what_others_expect(tmp_path: Path) -> None:
    written(tmp_path)
    folder = tmp_path / "export"
    lines = (folder / "entities.ndjson").read_bytes().splitlines()
    by_id = {form["id"]: form for form in map(msgspec.json.decode, lines)}
    place = by_id["urn:x:Place:1"]
    assert place["type"] == ["Place", "Also"]
    assert place["scope"] == ["/a/b", "/c"]
    assert place["location"]["type"] == "GeoProperty"
    assert [one.get("datasetId") for one in place["free"]] == [None, "urn:d"]
    assert place["@context"].startswith("https://uri.etsi.org/ngsi-ld/")
    assert place["createdAt"].endswith("Z")
    with (folder / "versions.csv").open(newline="") as opened:
        versions = {row["entity"]: row for row in csv.DictReader(opened)}
    assert versions["urn:x:Place:3"]["live"] == "0"
    history = pq.read_table(folder / "history").to_pylist()
    first = next(row for row in history if row["entity"] == "urn:x:Place:2")
    assert first["observedAt"].tzinfo is not None
    assert (first["attribute"], first["text"], first["integer"]) == ("text", "a", None)
    notes = (folder / "records" / "note.ndjson").read_bytes().splitlines()
    assert msgspec.json.decode(notes[0])["keys"] == {"state": "shut", "by": "ada"}
    assert pq.read_table(folder / "ledger-private" / "leaves.parquet").num_rows == 4


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("entities.ndjson", b'"createdAt"', b'"createdOn"'),
        ("entities.ndjson", b"{", b"["),
        ("versions.csv", b"urn:x:Place:1,", b"urn:x:Place:9,"),
        ("events.ndjson", b'"sequence":', b'"sequences":'),
        ("holds.ndjson", b'"units":2', b'"units":"two"'),
        ("history/00001.parquet", b"receivedAt", b"receivedOn"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    written(tmp_path)
    file = tmp_path / "export" / name
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, -1 if name.endswith("parquet") else 1))
    with pytest.raises(Invalid):
        list(read_contents(tmp_path / "export"))
