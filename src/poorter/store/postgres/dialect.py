# SPDX-License-Identifier: EUPL-1.2
"""What PostgreSQL says its own way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors

from poorter.city.errors import Unavailable
from poorter.store.tables.port import Dialect

_MARK = re.compile(r"\?(\d*)")
#: OFFSET 0 keeps what is inside from being planned together with what is around it
_THEN = "CROSS JOIN LATERAL (SELECT * FROM {0} {1} WHERE {2} OFFSET 0) {1}"
_BOX = "ST_MakeEnvelope(?, ?, ?, ?, 4326)"


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """Values as PostgreSQL counts them: `?` and `?1` become `$1`."""
    number = iter(range(1, 1 << 16))
    return _MARK.sub(lambda mark: f"${mark[1] or next(number)}", sql)


def _describe(wrong: Exception) -> str:
    if isinstance(wrong, Unavailable):
        return str(wrong.detail)
    if isinstance(wrong, errors.DiskFull):
        return "the disk is full; nothing was written"
    if isinstance(wrong, psycopg.OperationalError):
        return "the database can't be reached; try again in a moment"
    return f"the store cannot write now: {type(wrong).__name__}"


def many(values: Sequence[Any]) -> Any:
    """An array; numbers as text, which says nothing of how many bytes each has."""
    if not values or isinstance(values[0], int):
        return "{" + ",".join(map(str, values)) + "}"
    return list(values)


DIALECT = Dialect(
    then=_THEN,
    texts="unnest({0}::text[]) AS {1}(value)",
    numbers="unnest({0}::bigint[]) AS {1}(value)",
    pairs="json_array_elements({0}::json) AS {1}(value)",
    many=many,
    greatest="greatest",
    target="city, {}",
    indexed="",
    apart="coalesce({0}, {0})",
    fence=" OFFSET 0",
    regexp=False,
    number="h.num",
    is_number="h.num IS NOT NULL",
    newest_lines=(
        "SELECT DISTINCT ON (subject) subject, seq, leaf FROM line WHERE {} "
        "ORDER BY subject, seq DESC"
    ),
    # a body begins with it; the whole is not read as JSON, in which PostgreSQL allows no \\u0000
    kind_of_body=(
        "substring(encode(substring(a.body FROM 1 FOR 40), 'escape') "
        'FROM \'^{"type":"([A-Za-z]+)"\')'
    ),
    put_place=(
        "INSERT INTO place (id, box) VALUES (?, " + _BOX + ") "
        "ON CONFLICT (city, id) DO UPDATE SET box = excluded.box"
    ),
    in_box=f"SELECT 1 FROM place WHERE box && {_BOX}",
    placed=(
        "SELECT a.entity AS entity, a.body AS body FROM place p "
        f"{_THEN.format('attribute', 'a', 'a.id = p.id')} "
        f"WHERE p.box && {_BOX} AND a.name = ? AND a.live"
    ),
    near=(
        f"EXISTS (SELECT 1 FROM attribute g {_THEN.format('place', 'p', 'p.id = g.id')} "
        f"WHERE p.box && {_BOX} AND g.name = ? AND g.live AND g.entity = e.id OFFSET 0)"
    ),
    history_bytes="SELECT pg_total_relation_size('history')",
    instances=(
        "(SELECT coalesce(json_agg(json_build_array(a.id, n.name, a.dataset, a.created_us, "
        "a.modified_us, a.expires_us, a.version, convert_from(a.body, 'UTF8'))), '[]')::text "
        f"FROM attribute a {_THEN.format('name', 'n', 'n.id = a.name')} "
        "WHERE a.entity = {0} AND a.live)"
    ),
    refusals=(psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded),
    failures=(psycopg.Error, Unavailable),
    describe=_describe,
)
