# SPDX-License-Identifier: EUPL-1.2
"""The schema in PostgreSQL: in step with SQLite's, and ready to be divided by city."""

import re
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest
from tests.database import Database
from tests.permits import WRITE

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid, Unavailable
from poorter.city.time import DAY_US
from poorter.store.contract import SCHEMA_VERSION, Change, Hold
from poorter.store.postgres.schema import FIRST_VERSION, bring_forward, checked_url
from poorter.store.postgres.store import open_store as open_postgres
from poorter.store.sqlite.connect import connect, migrate

STORE = files("poorter.store")
END_US = ManualClock().now_us() + DAY_US
KEY = re.compile(r"(PRIMARY KEY|UNIQUE|REFERENCES\s+\w+)\s*(\([^)]*\))?", re.IGNORECASE)
#: as both engines have it; places and history differ by how they keep a box and a value
OWN = {"place", "history", "city_role", "schema_version", "meta"}


def numbers(engine: str) -> set[int]:
    folder = STORE / engine / "migrations"
    return {int(file.name[:4]) for file in folder.iterdir() if file.name.endswith(".sql")}


def test_both_engines_have_the_same_migrations() -> None:
    assert numbers("postgres") == set(range(FIRST_VERSION, SCHEMA_VERSION + 1))
    assert numbers("sqlite") == set(range(1, SCHEMA_VERSION + 1))


def keys_without_city(text: str) -> Iterator[str]:
    """Keys of a script that don't begin with the city. A key in one column's line has no list."""
    text = re.sub(r"--[^\n]*", "", text)
    for found in KEY.finditer(text):
        columns = (found[2] or "").strip("() ").split(",")
        if columns[0].strip() != "city":
            yield found[0]
    for index in re.finditer(r"CREATE UNIQUE INDEX[^;]*", text, re.IGNORECASE):
        if not re.search(r"\(\s*city\b", index[0]):
            yield index[0]


def test_every_key_begins_with_the_city() -> None:
    folder = STORE / "postgres" / "migrations"
    for file in folder.iterdir():
        assert list(keys_without_city(file.read_text("utf-8"))) == [], file.name
    # what the check is worth
    assert list(keys_without_city("a int PRIMARY KEY,\nUNIQUE (b, city), UNIQUE (city, c)")) == [
        "PRIMARY KEY",
        "UNIQUE (b, city)",
    ]
    assert list(keys_without_city("REFERENCES x (id)")) == ["REFERENCES x (id)"]


def test_the_database_has_it_so_too(server: Database) -> None:
    role = server.new_city()
    bring_forward(server.owner_url, role.split("//")[1].split("@")[0])
    with psycopg.connect(server.url("postgres")) as link:
        found = link.execute(
            "SELECT i.indexrelid::regclass::text, a.attname FROM pg_index i JOIN pg_class c "
            "ON c.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = i.indkey[0] WHERE c.relnamespace = 'poorter'::regnamespace "
            "AND (i.indisunique OR i.indisexclusion)"
        ).fetchall()
        assert len(found) > 20
        assert [name for name, first in found if first != "city"] == []
        referring = link.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' "
            "AND connamespace = 'poorter'::regnamespace"
        ).fetchall()
        assert referring == []


def test_tables_and_columns_are_those_of_sqlite(server: Database, tmp_path: Path) -> None:
    connection = connect(tmp_path / "city.db", write=True)
    migrate(connection)
    sqlite = {
        (str(table), str(column))
        for table, column in connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'place\\_%' ESCAPE '\\'"
        )
    }
    connection.close()
    open_postgres(server.new_city(), tmp_path / "a", ManualClock(), server.owner_url).close()
    with psycopg.connect(server.url("postgres")) as link:
        postgres = set(
            link.execute(
                "SELECT table_name, column_name FROM information_schema.columns "
                "WHERE table_schema = 'poorter' AND column_name <> 'city'"
            ).fetchall()
        )
    same = {one for one in sqlite if one[0] not in OWN}
    assert same == {one for one in postgres if one[0] not in OWN}
    assert {column for table, column in sqlite if table == "history"} | {"num"} == {
        column for table, column in postgres if table == "history"
    }


def test_another_schema_is_refused_with_words(server: Database, tmp_path: Path) -> None:
    url = server.new_city()
    open_postgres(url, tmp_path / "a", ManualClock(), server.owner_url).close()
    for version, words in ((SCHEMA_VERSION + 1, "newer Poorter"), (3, "brought forward")):
        with psycopg.connect(server.owner_url) as link:
            link.execute("UPDATE poorter.schema_version SET number = %s", (version,))
        try:
            with pytest.raises(Unavailable, match=words):
                open_postgres(url, tmp_path / "a", ManualClock())
        finally:
            with psycopg.connect(server.owner_url) as link:
                link.execute("UPDATE poorter.schema_version SET number = %s", (SCHEMA_VERSION,))
    open_postgres(url, tmp_path / "a", ManualClock()).close()


def test_rows_that_nobody_counted_are_counted_at_a_start(server: Database, tmp_path: Path) -> None:
    url, role = server.new_city(), server.owner_url
    counted = (
        "SELECT n_live_tup, coalesce(last_analyze, last_autoanalyze) FROM pg_stat_user_tables "
        "WHERE relid = 'poorter.hold'::regclass"
    )
    with psycopg.connect(server.url("postgres"), autocommit=True) as link:
        open_postgres(url, tmp_path / "a", ManualClock(), role).close()
        link.execute("SELECT pg_stat_reset_single_table_counters('poorter.hold'::regclass)")
        store = open_postgres(url, tmp_path / "a", ManualClock())
        holds = tuple(Hold("counted", f"h{n}", 1, 500, 0, END_US) for n in range(500))
        store.commit(WRITE, Change(holds)).result(30)
        store.close()
        until = time.monotonic() + 20
        while (before := link.execute(counted).fetchone()) and not before[0]:
            assert time.monotonic() < until, "the database did not tell of its rows"
            time.sleep(0.05)
        open_postgres(url, tmp_path / "a", ManualClock(), role).close()
        after = link.execute(counted).fetchone()
        assert after is not None
        assert after[1] is not None
        plan = "EXPLAIN SELECT FROM poorter.hold WHERE pool = 'counted'"
        assert "rows=500" in str(link.execute(plan).fetchall())


def test_no_password_in_an_address() -> None:
    assert checked_url("postgresql://a@b/c", "store.url") == "postgresql://a@b/c"
    for wrong in ("postgresql://a:secret@b/c", "postgresql://a@b/c?password=secret"):
        with pytest.raises(Invalid, match="PGPASSWORD") as refused:
            checked_url(wrong, "store.url")
        assert "secret" not in str(refused.value)
    with pytest.raises(Invalid, match="no address"):
        checked_url("https://example.org", "store.url")
