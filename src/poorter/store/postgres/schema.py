# SPDX-License-Identifier: EUPL-1.2
"""The schema: brought forward by its owner, and looked at by whoever uses it.

The owner of the tables makes them and says which city a role has. The city's own process logs in as
that role, which owns nothing and is let past no wall: what it sees is told by the database.
"""

from __future__ import annotations

from importlib.resources import files

import psycopg
from psycopg import sql

from poorter.city.errors import Invalid, Unavailable
from poorter.store.contract import SCHEMA_VERSION

#: earlier ones were SQLite's alone
FIRST_VERSION = 8
_LOCK = 0x506F6F72  # "Poor"
_OVER_THE_WALL = (
    "SELECT r.rolsuper OR r.rolbypassrls OR EXISTS (SELECT 1 FROM pg_class c "
    "WHERE c.relnamespace = 'poorter'::regnamespace "
    "AND pg_has_role(session_user, c.relowner, 'MEMBER')) "
    "FROM pg_roles r WHERE r.rolname = session_user"
)
_OPEN = (
    "SELECT count(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
    "WHERE c.relnamespace = 'poorter'::regnamespace AND c.relkind IN ('r', 'p') "
    "AND a.attname = 'city' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
)


def bring_forward(owner_url: str, role: str) -> None:
    """Make the tables or bring them forward, one migration a transaction; never back. `role` has
    a city of its own in them from then on.

    Raises: Unavailable when a newer version wrote them, or they can't be reached.
    """
    try:
        with psycopg.connect(owner_url, autocommit=True) as link:
            link.execute("SET client_min_messages = warning")
            link.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            link.execute("CREATE SCHEMA IF NOT EXISTS poorter")
            link.execute("SET search_path = poorter, public")
            link.execute("CREATE TABLE IF NOT EXISTS schema_version (number integer NOT NULL)")
            _migrate(link)
            _enlist(link, role)
            _look_at_rows(link)
    except psycopg.Error as wrong:
        raise Unavailable(f"the tables can't be brought forward: {wrong}") from None


def _migrate(link: psycopg.Connection) -> None:
    found = version(link)
    _check_age(found)
    folder = files("poorter.store.postgres") / "migrations"
    for number in range(max(found + 1, FIRST_VERSION), SCHEMA_VERSION + 1):
        with link.transaction():
            link.execute((folder / f"{number:04d}.sql").read_bytes())
            link.execute("DELETE FROM schema_version")
            link.execute("INSERT INTO schema_version VALUES (%s)", (number,))


def _enlist(link: psycopg.Connection, role: str) -> None:
    name = sql.Identifier(role)
    with link.transaction():
        link.execute("LOCK TABLE city_role")
        known = link.execute("SELECT 1 FROM city_role WHERE role = %s", (role,)).fetchone()
        if known is None:
            link.execute(
                "INSERT INTO city_role SELECT coalesce(max(city), 0) + 1, %s FROM city_role",
                (role,),
            )
        for grant in (
            "GRANT CONNECT ON DATABASE {database} TO {role}",
            "GRANT USAGE ON SCHEMA poorter TO {role}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA poorter TO {role}",
            "REVOKE INSERT, UPDATE, DELETE ON city_role, schema_version FROM {role}",
        ):
            database = sql.Identifier(link.info.dbname)
            link.execute(sql.SQL(grant).format(role=name, database=database))


def _look_at_rows(link: psycopg.Connection) -> None:
    """Of rows that nobody has counted the planner thinks that few are of one city, and reads them
    all to find some: until autovacuum comes by, each group of writes would do that."""
    uncounted = (
        "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'poorter' AND n_live_tup > 0 "
        "AND last_analyze IS NULL AND last_autoanalyze IS NULL"
    )
    for (table,) in link.execute(uncounted).fetchall():
        link.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def version(link: psycopg.Connection) -> int:
    """The number of the last migration; 0 before the first."""
    row = link.execute("SELECT number FROM schema_version").fetchone()
    return 0 if row is None else int(row[0])


def _check_age(found: int) -> None:
    if found > SCHEMA_VERSION:
        raise Unavailable(
            f"this city was written by a newer Poorter (schema {found}); "
            f"this one reads up to schema {SCHEMA_VERSION}"
        )


def check(link: psycopg.Connection) -> int:
    """The city of who logged in. Raises Unavailable for tables of another version, for a server
    that does not wait for its disk, and for a role that is let past the wall between cities."""
    try:
        found = version(link)
    except psycopg.errors.Error:
        found = 0
    _check_age(found)
    if found < SCHEMA_VERSION:
        raise Unavailable(
            f"the tables are at schema {found}, not {SCHEMA_VERSION}: set store.owner_url once, so "
            "that they are brought forward"
        )
    for setting in ("fsync", "full_page_writes"):
        ((value,),) = link.execute(f"SHOW {setting}").fetchall()
        if value != "on":
            raise Unavailable(f"{setting} is off in this database: an answer would promise nothing")
    ((past,),) = link.execute(_OVER_THE_WALL).fetchall()
    ((unwalled,),) = link.execute(_OPEN).fetchall()
    if past or unwalled:
        raise Unavailable(
            f"the role {link.info.user} may see other cities: the city logs in with a role that "
            "owns no tables, is no superuser and has no BYPASSRLS"
        )
    rows = link.execute("SELECT city FROM city_role").fetchall()
    if len(rows) != 1:
        raise Unavailable(f"the role {link.info.user} has no city in this database")
    return int(rows[0][0])


def checked_url(url: str, setting: str) -> str:
    """`url` of a database. Raises Invalid for what is none, or has a password in it."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        raise Invalid(f"{setting}: this is no address of a PostgreSQL database") from None
    if "password" in parts:
        raise Invalid(f"{setting}: a password goes into PGPASSWORD or a password file, not here")
    return url


def role_of(url: str) -> str:
    """The role that an address logs in with. Raises Invalid when it names none."""
    role = psycopg.conninfo.conninfo_to_dict(url).get("user")
    if not role:
        raise Invalid("store.url names no role: postgresql://ROLE@HOST/DATABASE")
    return str(role)
