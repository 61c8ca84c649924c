# SPDX-License-Identifier: EUPL-1.2
"""Statements for all rows of arrays say what those for one row say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.database import Database

from poorter.city.clock import ManualClock
from poorter.store.postgres.bulk import KINDS, array, bulk
from poorter.store.postgres.store import PostgresStore, open_store
from poorter.store.tables.rows import WRITES


def test_whatever_a_group_writes_is_written_in_bulk() -> None:
    assert {sql for sql in WRITES.values() if sql} <= set(KINDS)
    for sql, kinds in KINDS.items():
        said = bulk(sql)
        assert said.count("::") == len(kinds)
        assert "?" not in said
        assert "VALUES" not in said
    assert bulk(WRITES["dropped"]) == (
        "UPDATE attribute SET live = FALSE FROM unnest($1::bigint[]) AS v(p1) WHERE id = v.p1"
    )


@pytest.fixture(scope="module")
def store(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresStore]:
    folder: Path = tmp_path_factory.mktemp("bulk")
    opened = open_store(server.new_city(), folder, ManualClock(), server.owner_url)
    yield opened
    opened.close()


WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=8)


@given(
    texts=st.lists(st.none() | WORDS | st.sampled_from(["NULL", "{", '"', "\\", ",", " "])),
    blobs=st.lists(st.none() | st.binary(max_size=6)),
    numbers=st.lists(st.none() | st.floats(allow_nan=False)),
    whole=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    flags=st.lists(st.none() | st.booleans()),
)
def test_arrays_arrive_as_they_were(
    store: PostgresStore,
    texts: list[str | None],
    blobs: list[bytes | None],
    numbers: list[float | None],
    whole: list[int | None],
    flags: list[bool | None],
) -> None:
    values = {"t": texts, "b": blobs, "f": numbers, "i": whole, "l": flags}
    types = {"t": "text", "b": "bytea", "f": "float8", "i": "bigint", "l": "boolean"}
    reader = store._reader()
    for kind, wanted in values.items():
        sql = f"SELECT value FROM unnest(?::{types[kind]}[]) AS v(value)"
        rows = reader.execute(sql, (array(kind, wanted),))
        assert [value for (value,) in rows] == wanted
