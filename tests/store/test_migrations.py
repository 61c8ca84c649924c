# SPDX-License-Identifier: EUPL-1.2
"""Every schema that ever was is brought forward with all that is in it; a newer one is refused."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from tests.permits import FAR_US, READ, WRITE, permit

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute
from poorter.city.errors import Unavailable
from poorter.city.query import Compare, EvolutionQuery, Geo, HistoryQuery, Query
from poorter.city.query import Path as Where
from poorter.store.contract import SCHEMA_VERSION, AppendLeaf, Change, PutRecord, SetAttributes
from poorter.store.sqlite import open_store

SCRIPTS = files("poorter.store.sqlite") / "migrations"
AT_US = 1_750_000_000_000_000
URN = "urn:ngsi-ld:Place:1"
POINT = {"type": "Point", "coordinates": [5.3, 52.6]}


def body(kind: str, value: object, **more: object) -> bytes:
    return msgspec.json.encode({"type": kind, "value": value, **more})


#: rows as the first schema wrote them; later columns and tables are filled where a schema has them
ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("name", {"id": 1, "name": "free"}),
    ("name", {"id": 2, "name": "location"}),
    ("entity", {"id": 1, "urn": URN, "types": "Place", "scopes": "/a/b", "version": 3}),
    ("entity", {"id": 2, "urn": f"{URN}0", "types": "Place", "scopes": "", "live": 0}),
    ("entity_type", {"type": "Place", "urn": URN, "entity": 1}),
    (
        "attribute",
        {
            "id": 1,
            "entity": 1,
            "name": 1,
            "body": body("Property", 37, observedAt="2025-06-15T15:06:40Z"),
            "num": 37.0,
            "observed_us": AT_US,
        },
    ),
    ("attribute", {"id": 2, "entity": 1, "name": 2, "body": body("GeoProperty", POINT)}),
    ("place", {"id": 2, "west": 5.3, "east": 5.3, "south": 52.6, "north": 52.6}),
    ("history", {"attribute": 1, "observed_us": AT_US - 5, "sequence": 0, "value": 30}),
    ("history", {"attribute": 1, "observed_us": AT_US, "sequence": 0, "value": 36}),
    ("history", {"attribute": 1, "observed_us": AT_US, "sequence": 1, "value": 37}),
    ("event", {"sequence": 1, "kind": "entity", "urn": URN, "types": "Place", "names": ""}),
    ("record", {"kind": "note", "id": "n", "doc": b'{"text":"kept"}', "version": 2}),
    ("record_key", {"kind": "note", "key": "state", "value": "open", "id": "n"}),
    ("hold", {"pool": "p", "id": "h", "units": 2, "until_us": AT_US + 10**9}),
    ("replay", {"key": "k", "answer": msgspec.msgpack.encode(((1,), 1, AT_US))}),
    ("leaf", {"idx": 0, "leaf": b"first", "subject": "s", "payload": b"private"}),
    ("line", {"subject": b"s" * 16, "seq": 1, "leaf": 0}),
    ("trace", {"trace": b"t" * 16, "first": 0, "number": 1}),
)
#: what these columns hold where a row above does not say
USUAL = {
    "dataset": "",
    "scopes": "",
    "version": 1,
    "created_us": AT_US,
    "modified_us": AT_US,
    "received_us": AT_US,
    "at_us": AT_US,
    "quality": 0,
    "live": 1,
}


def written(file: Path, schema: int) -> None:
    """A city as the version with that schema left it."""
    file.parent.mkdir()
    connection = apsw.Connection(str(file))
    for number in range(1, schema + 1):
        list(connection.execute((SCRIPTS / f"{number:04d}.sql").read_text("utf-8")))
    list(connection.execute(f"PRAGMA user_version = {schema}"))
    for table, row in ROWS:
        has = [c[1] for c in connection.execute(f"PRAGMA table_info({table})")]
        if table == "attribute" and "version" in has:
            row = {"version": 3} | row
        values = {name: (USUAL | row)[name] for name in has if name in USUAL | row}
        if values:
            marks = ", ".join("?" * len(values))
            sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
            list(connection.execute(sql, tuple(values.values())))
    if schema >= 6:  # from here on the writer itself fills the cells
        number = int((5.3 + 180) / 0.01) | int((52.6 + 90) / 0.01) << 16 | 2 << 32
        list(connection.execute("INSERT INTO cell VALUES (?, ?, 2, 1)", (number, URN)))
    connection.close()


@pytest.mark.parametrize("schema", range(1, SCHEMA_VERSION + 1))
def test_what_an_older_version_wrote_is_all_there(tmp_path: Path, schema: int) -> None:
    written(tmp_path / "city" / "city.db", schema)
    store = open_store(tmp_path / "city", ManualClock(AT_US + 1000))
    try:
        entity = store.decode(store.entity(READ, URN))
        assert (entity.types, entity.scopes, entity.version) == (("Place",), ("/a/b",), 3)
        assert entity.value("free") == 37
        assert entity.geometry() == POINT
        near = Geo("near", POINT, max_distance_m=50)
        free = Compare(Where("free"), "==", (37,))
        found = store.query(READ, Query(types=("Place",), geo=near, condition=free, count=True))
        assert ([e.urn for e in found.entities], found.count) == ([URN], 1)
        seen = store.history(READ, HistoryQuery(URN, corrections=True))
        assert [(o.observed_at_us - AT_US, o.sequence, o.value) for o in seen] == [
            (-5, 0, 30),
            (0, 0, 36),
            (0, 1, 37),
        ]
        assert len(store.evolution(READ, EvolutionQuery(URN, ("free",))).instances) >= 2
        assert [event.urn for event in store.events(READ, 0)] == [URN]
        assert store.record(READ, "note", "n").doc == {"text": "kept"}
        assert store.record(READ, "note", "n").version == 2
        assert [r.id for r in store.records(READ, "note", {"state": "open"})] == ["n"]
        assert [r.id for r in store.records(READ, "note", newest=True)] == ["n"]
        assert store.pool(READ, "p").units == 2
        assert store.leaves(READ, 0, 10) == [(0, b"first")]
        assert store.leaf_payload(READ, 0) == b"private"
        assert store.leaves_about(READ, "s") == [0]
        assert store.commit(WRITE, Change((), "k")).result(10).replayed
    finally:
        store.close()


@pytest.mark.parametrize("schema", range(1, SCHEMA_VERSION + 1))
def test_it_is_written_to_as_any_other(tmp_path: Path, schema: int) -> None:
    written(tmp_path / "city" / "city.db", schema)
    store = open_store(tmp_path / "city", ManualClock(AT_US + 1000), near=True)
    ops = (
        SetAttributes(URN, (Attribute("free", 12, observed_at_us=AT_US + 7),)),
        PutRecord("note", "n", {"text": "new"}, expect=2),
        AppendLeaf(b"second"),
    )
    done = store.commit(WRITE, Change(ops)).result(10)
    assert done.results[2] == 1
    store.compact(permit("administer"), FAR_US, all_of_it=True)
    store.close()
    again = open_store(tmp_path / "city", ManualClock(AT_US + 2000))
    try:
        entity = again.decode(again.entity(READ, URN))
        assert (entity.value("free"), entity.version) == (12, 4)
        values = [o.value for o in again.history(READ, HistoryQuery(URN, ("free",)))]
        assert values == [30, 37, 12]
        assert [sequence for sequence, _ in again.leaves(READ, 0, 10)] == [0, 1]
        assert [event.sequence for event in again.events(READ, 0)] == [1, 2, 3]
    finally:
        again.close()
    check = apsw.Connection(str(tmp_path / "city" / "city.db"))
    assert next(check.execute("PRAGMA user_version"))[0] == SCHEMA_VERSION
    assert next(check.execute("PRAGMA integrity_check"))[0] == "ok"
    check.close()


def test_an_older_schema_becomes_what_a_new_city_has(tmp_path: Path) -> None:
    """Tables and indexes are the same, whichever version began the file."""

    def shape(folder: Path) -> list[tuple[Any, ...]]:
        open_store(folder, ManualClock(AT_US)).close()
        connection = apsw.Connection(str(folder / "city.db"))
        found = sorted(connection.execute("SELECT type, name, tbl_name FROM sqlite_schema"))
        columns = [
            (name, *column[1:6])
            for kind, name, _ in found
            if kind == "table"
            for column in connection.execute(f"PRAGMA table_info({name})")
        ]
        connection.close()
        return [*found, *columns]

    written(tmp_path / "old" / "city.db", 1)
    assert shape(tmp_path / "old") == shape(tmp_path / "new")


def test_a_newer_file_is_refused_in_words_and_left_as_it_is(tmp_path: Path) -> None:
    open_store(tmp_path / "city", ManualClock(AT_US)).close()
    file = tmp_path / "city" / "city.db"
    connection = apsw.Connection(str(file))
    list(connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}"))
    connection.close()
    with pytest.raises(Unavailable, match=f"newer Poorter .schema {SCHEMA_VERSION + 1}.*up to"):
        open_store(tmp_path / "city", ManualClock(AT_US))
    connection = apsw.Connection(str(file))
    assert next(connection.execute("PRAGMA user_version"))[0] == SCHEMA_VERSION + 1
    list(connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}"))
    connection.close()
    open_store(tmp_path / "city", ManualClock(AT_US)).close()  # nobody holds it
