# SPDX-License-Identifier: EUPL-1.2
"""Many rows in one statement: what is said of one row, said of all rows of arrays.

COPY is not to be had where row-level security is forced, and a statement a row costs more than the
row. Statements that are not known here go row by row, in a pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from poorter.store.postgres.dialect import DIALECT
from poorter.store.tables.apply import LEAVES, LINES
from poorter.store.tables.rows import WRITES
from poorter.store.tables.writer import EVENTS

_MARK = re.compile(r"\?(\d*)")
_INSERT = re.compile(r"(.+?) VALUES \((.+?)\)( ON CONFLICT .+)?\Z")
_TYPES = {"i": "bigint", "f": "double precision", "t": "text", "b": "bytea", "l": "boolean"}
#: the types of what is bound, in its order
KINDS = {
    WRITES["new entities"]: "itttiiii",
    WRITES["entities"]: "ittiili",
    WRITES["types"]: "tti",
    WRITES["new attributes"]: "iiitbftiiili",
    WRITES["attributes"]: "ibftiiii",
    DIALECT.put_place: "iffff",
    WRITES["dropped"]: "i",
    WRITES["no places"]: "i",
    WRITES["no cells"]: "i",
    WRITES["cells"]: "iiti",
    EVENTS: "iitttt",
    LEAVES: "ibb",
    LINES: "bii",
}


@cache
def bulk(sql: str) -> str:
    """The statement for all rows of arrays. Raises KeyError for one that is not known."""
    kinds = KINDS[sql]
    number = iter(range(1, len(kinds) + 1))
    said = _MARK.sub(lambda mark: f"v.p{mark[1] or next(number)}", sql)
    arrays = ", ".join(f"${n}::{_TYPES[kind]}[]" for n, kind in enumerate(kinds, 1))
    names = ", ".join(f"p{n}" for n in range(1, len(kinds) + 1))
    rows = f"unnest({arrays}) AS v({names})"
    insert = _INSERT.match(said)
    if insert is not None:
        return f"{insert[1]} SELECT {insert[2]} FROM {rows}{insert[3] or ''}"
    head, _, where = said.rpartition(" WHERE ")
    return f"{head} {'USING' if head.startswith('DELETE') else 'FROM'} {rows} WHERE {where}"


def columns(sql: str, rows: Sequence[Sequence[Any]]) -> list[str]:
    """The arrays, as PostgreSQL writes them."""
    return list(map(array, KINDS[sql], zip(*rows, strict=True)))


def array(kind: str, values: Iterable[Any]) -> str:
    """One of them."""
    word = _WORDS[kind]
    return "{" + ",".join(["NULL" if one is None else word(one) for one in values]) + "}"


def _text(value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


_WORDS: dict[str, Callable[[Any], str]] = {
    "i": str,
    "f": repr,
    "t": _text,
    "b": lambda value: f'"\\\\x{value.hex()}"',
    "l": lambda value: "t" if value else "f",
}
