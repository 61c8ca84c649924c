# SPDX-License-Identifier: EUPL-1.2
"""q as SQL where an index can answer it. A term never leaves out what matches; where it may let
through what does not, `exact` is False and the plain evaluator has the last word.

Lists, objects and long text are in no value index, and q looks into them. So a value index is used
only for names that have no such values at the moment of the query.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from poorter.city.matching import OWN
from poorter.city.query import And, Compare, Condition, Exists, Or, Range
from poorter.store.tables.port import Dialect
from poorter.store.tables.spots import Between


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a name: its number, whether all its values are in a value index, and
    whether every rule of the permit covers it."""

    number: int
    indexed: bool
    covered: bool


@dataclass(frozen=True, slots=True)
class Term:
    """A filter on entity `e`; `drive` is a select of entity ids that an index gives, if any. If it
    is about one number, `between` is what numbers it lets through, and `compare` what it asks of
    them, which are all Properties."""

    sql: str
    values: tuple[Any, ...]
    exact: bool
    drive: str | None = None
    between: Between | None = None
    compare: Compare | None = None


Lookup = Callable[[str], Known | None]


def compile_condition(condition: Condition, lookup: Lookup, dialect: Dialect) -> list[Term]:
    """Terms that must all hold."""
    if isinstance(condition, And):
        return [
            term for part in condition.terms for term in compile_condition(part, lookup, dialect)
        ]
    if isinstance(condition, Or):
        return [_either(condition, lookup, dialect)]
    if condition.path.linked is None and condition.path.name in OWN:
        return [Term("TRUE", (), False)]
    known = lookup(condition.path.name)
    return [Term("FALSE", (), True)] if known is None else [_one(condition, known, dialect)]


def _either(condition: Or, lookup: Lookup, dialect: Dialect) -> Term:
    parts = [compile_condition(part, lookup, dialect) for part in condition.terms]
    sql = " OR ".join("(" + " AND ".join(term.sql for term in terms) + ")" for terms in parts)
    flat = [term for terms in parts for term in terms]
    values = tuple(value for term in flat for value in term.values)
    return Term(f"({sql})", values, all(term.exact for term in flat))


def _one(condition: Exists | Compare, known: Known, dialect: Dialect) -> Term:
    path = condition.path
    plain = not path.sub and not path.keys and path.linked is None
    if plain and known.indexed and isinstance(condition, Compare):
        test = _test(condition)
        if test is not None:
            index, column, sql, values = test
            return Term(
                # kept to the entity's own attributes: the value index would be walked anew for
                # each candidate
                "EXISTS (SELECT 1 FROM attribute WHERE entity = e.id AND name = ? "
                f"AND {dialect.apart.format(column)} {sql} AND live{dialect.fence})",
                (known.number, *values),
                # the index of texts holds objects of relationships too, which have no order
                known.covered and (index == "attribute_num" or condition.op == "=="),
                f"SELECT entity FROM attribute {dialect.indexed.format(index)} WHERE name = ? "
                f"AND {column} {sql} AND live",
                *(
                    (_between(known.number, condition), condition)
                    if index == "attribute_num"
                    else ()
                ),
            )
    return Term(
        "EXISTS (SELECT 1 FROM attribute WHERE entity = e.id AND name = ? "
        f"AND live{dialect.fence})",
        (known.number,),
        known.covered and plain and isinstance(condition, Exists),
    )


def _test(condition: Compare) -> tuple[str, str, str, tuple[Any, ...]] | None:
    """(index, column, what is asked of it, values) when a value index answers it, else None."""
    if len(condition.values) != 1 or condition.op not in ("==", ">", ">=", "<", "<="):
        return None
    value = condition.values[0]
    if isinstance(value, Range) and condition.op == "==" and _number(value.low):
        if _number(value.high):
            return "attribute_num", "num", "BETWEEN ? AND ?", (float(value.low), float(value.high))
        return None
    sign = "=" if condition.op == "==" else condition.op
    if _number(value):
        return "attribute_num", "num", f"{sign} ?", (float(value),)
    if isinstance(value, str):
        return "attribute_txt", "txt", f"{sign} ?", (value,)
    return None


def _between(name: int, condition: Compare) -> Between:
    value = condition.values[0]
    if isinstance(value, Range):
        return Between(name, float(value.low), float(value.high))
    low = value if condition.op in ("==", ">", ">=") else -math.inf
    high = value if condition.op in ("==", "<", "<=") else math.inf
    return Between(name, float(low), float(high))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
