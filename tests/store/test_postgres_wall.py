# SPDX-License-Identifier: EUPL-1.2
"""The second wall: whatever SQL a city's own role sends, the database keeps it to its city."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from tests.database import Database
from tests.permits import READ, WRITE

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Unavailable
from poorter.store.contract import Change, Create, PutRecord
from poorter.store.postgres.store import PostgresStore, open_store

TABLES = [
    "name",
    "entity",
    "entity_type",
    "attribute",
    "place",
    "cell",
    "history",
    "instance",
    "evolved",
    "event",
    "record",
    "record_key",
    "hold",
    "replay",
    "leaf",
    "line",
    "trace",
    "segment",
    "segment_out",
]


@pytest.fixture(scope="module")
def cities(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Two cities in one database, each with something of its own."""
    urls = [server.new_city(), server.new_city()]
    stores: list[PostgresStore] = []
    for number, url in enumerate(urls):
        folder = tmp_path_factory.mktemp("city")
        store = open_store(url, folder, ManualClock(), server.owner_url)
        secret = Attribute("secret", f"of {number}", observed_at_us=5)
        place = Attribute("location", {"type": "Point", "coordinates": [5, 52]}, "GeoProperty")
        entity = Entity(f"urn:e:{number}", ("P",), (secret, place))
        record = PutRecord("note", "n", {"a": 1}, keys={"k": "v"})
        store.commit(WRITE, Change((Create(entity), record), "key")).result(10)
        stores.append(store)
    yield urls
    for store in stores:
        store.close()


def link_of(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True, options="-c search_path=poorter,public")


def test_a_store_finds_its_own(server: Database, cities: list[str], tmp_path: Path) -> None:
    with link_of(cities[0]) as link:
        ((urn,),) = link.execute("SELECT urn FROM entity").fetchall()
        assert urn == "urn:e:0"
        assert len(link.execute("SELECT * FROM city_role").fetchall()) == 1
    with pytest.raises(Unavailable, match="another process"):
        open_store(cities[0], tmp_path / "other", ManualClock())


def test_the_wall_stands_round_every_table(server: Database, cities: list[str]) -> None:
    with link_of(server.url("postgres")) as link:
        found = link.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE "
            "c.relnamespace = 'poorter'::regnamespace AND c.relkind = 'r' "
            "AND c.relrowsecurity AND c.relforcerowsecurity GROUP BY 1"
        ).fetchall()
        assert {name for (name,) in found} == {*TABLES, "city_role"}
        ((both,),) = link.execute("SELECT count(DISTINCT city) FROM entity").fetchall()
        assert both >= 2


@pytest.mark.parametrize(
    "attempt",
    [
        "SELECT 1",
        "SET poorter.city = '{other}'",
        "SET row_security = off",
        "SET search_path = poorter, pg_catalog",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
    ],
)
def test_nothing_that_is_set_opens_it(server: Database, cities: list[str], attempt: str) -> None:
    with link_of(server.url("postgres")) as link:
        ((other,),) = link.execute(
            "SELECT city FROM entity WHERE urn = 'urn:e:1' ORDER BY city DESC LIMIT 1"
        ).fetchall()
    with link_of(cities[0]) as link:
        link.execute(attempt.format(other=other))  # type: ignore[arg-type]
        for table in TABLES:
            try:
                found = link.execute(
                    f"SELECT count(*) FROM {table} WHERE city = {other}"  # type: ignore[arg-type]
                ).fetchall()
            except errors.InsufficientPrivilege:
                assert "row_security" in attempt  # refused rather than unfiltered
                continue
            assert found == [(0,)], table


@pytest.mark.parametrize(
    "attempt",
    [
        "INSERT INTO entity VALUES (99, 'urn:x', 'P', '', 1, 1, 1, true, null, {other})",
        "UPDATE entity SET city = {other}",
        "INSERT INTO city_role VALUES ({other}, session_user)",
        "UPDATE city_role SET city = {other}",
        "DELETE FROM schema_version",
        "ALTER TABLE entity DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE entity NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY own_city ON entity",
        "CREATE POLICY mine ON entity USING (true)",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "SET ROLE poorter_owner",
        "SET SESSION AUTHORIZATION postgres",
        "TRUNCATE entity",
        "COPY entity FROM PROGRAM 'echo'",
        "COPY entity TO '/tmp/x'",
        "CREATE FUNCTION poorter.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT count(*) FROM poorter.entity'",
        "CREATE VIEW poorter.peek AS SELECT * FROM entity",
        "CREATE TABLE poorter.mine (a int)",
        "GRANT poorter_owner TO CURRENT_USER",
        "SELECT pg_read_file('PG_VERSION')",
        "REVOKE ALL ON entity FROM poorter_owner",
    ],
)
def test_nothing_that_is_tried_gets_over_it(
    server: Database, cities: list[str], attempt: str
) -> None:
    with link_of(server.url("postgres")) as link:
        ((other,),) = link.execute(
            "SELECT city FROM entity WHERE urn = 'urn:e:1' ORDER BY city DESC LIMIT 1"
        ).fetchall()
        before = link.execute("SELECT city, urn, version FROM entity ORDER BY 1, 2").fetchall()
    with link_of(cities[0]) as link:
        refused = (
            errors.InsufficientPrivilege,
            errors.InvalidGrantOperation,
            errors.FeatureNotSupported,
        )
        try:
            link.execute(attempt.format(other=other))  # type: ignore[arg-type]
        except refused:
            pass
        else:  # REVOKE of what is not one's own is a warning
            assert attempt.startswith("REVOKE")
    with link_of(server.url("postgres")) as link:
        after = link.execute("SELECT city, urn, version FROM entity ORDER BY 1, 2").fetchall()
        assert after == before
        owned = "SELECT has_table_privilege('poorter_owner', 'poorter.entity', 'SELECT')"
        assert link.execute(owned).fetchall() == [(True,)]


def test_a_plan_reads_nothing_of_others_either(server: Database, cities: list[str]) -> None:
    """A function that is not leakproof sees no row before the wall has let it through; a city's
    role can't even make one."""
    make = (
        "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 "
        "AS $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    with link_of(cities[0]) as link, pytest.raises(errors.InsufficientPrivilege):
        link.execute(make)  # type: ignore[arg-type]
    with link_of(server.url("postgres")) as link:
        link.execute("GRANT TEMPORARY ON DATABASE poorter TO PUBLIC")
    with link_of(cities[0]) as link:
        notices: list[str] = []
        link.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
        link.execute(make)  # type: ignore[arg-type]
        link.execute("SELECT count(*) FROM entity WHERE pg_temp.tell(urn)")
        assert notices == ["urn:e:0"]


def test_a_role_that_is_let_past_the_wall_is_refused(server: Database, tmp_path: Path) -> None:
    for number, power in enumerate(("SUPERUSER", "BYPASSRLS", "IN ROLE poorter_owner")):
        url = server.new_city()
        open_store(url, tmp_path / f"{number}", ManualClock(), server.owner_url).close()
        role = url.split("//")[1].split("@")[0]
        with link_of(server.url("postgres")) as link:
            grants = power.startswith("IN ROLE")
            sql = f"GRANT poorter_owner TO {role}" if grants else f"ALTER ROLE {role} {power}"
            link.execute(sql)  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="may see other cities"):
            open_store(url, tmp_path / f"{number}", ManualClock())
    with pytest.raises(Unavailable, match="may see other cities"):
        open_store(server.owner_url, tmp_path / "owner", ManualClock())


def test_a_role_without_a_city_is_refused(server: Database, tmp_path: Path) -> None:
    url = server.new_city()
    with pytest.raises(Unavailable):
        open_store(url, tmp_path / "a", ManualClock())
    store = open_store(url, tmp_path / "a", ManualClock(), server.owner_url)
    assert store.types(READ) == ()
    store.close()
