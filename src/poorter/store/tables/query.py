# SPDX-License-Identifier: EUPL-1.2
"""Answering a Query: the most selective index drives, the rest filters, ids in ascending order.

Which index drives is decided by counting its first entries, not by guessing: a count that is
stopped at a few thousand costs less than one wrong plan.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from poorter.city.entity import Entity
from poorter.city.errors import TooLarge
from poorter.city.limits import PAGE_MAX
from poorter.city.matching import matches, number_test
from poorter.city.query import Geo, Query, Scopes, Selector
from poorter.city.scope import scope_pattern
from poorter.gate.permit import ANY_TYPE, SEALED, Permit, TypeRule
from poorter.store.body import decode_entity
from poorter.store.contract import Page, StoredEntity
from poorter.store.geometry import related, relation, search_box
from poorter.store.tables.cells import cells_of, elsewhere
from poorter.store.tables.conditions import Known, Term, compile_condition
from poorter.store.tables.expiring import LASTS
from poorter.store.tables.naming import named
from poorter.store.tables.port import Connection
from poorter.store.tables.reading import COLUMNS, visible_entity, whole, wholes
from poorter.store.tables.recent import Numbered, Recent
from poorter.store.tables.spots import Between, Ints, Spots

DRIVE_MAX = 4000
_PART_MAX = 512
DENSE = 300  # from so many in a box on, cells answer it in the order of ids
SELECTIVE = 1000  # up to so many, what q finds is looked at instead
SECONDS_MAX = 10.0
PART = 200  # candidates that are read at once to count them
_decode = msgspec.json.Decoder().decode
#: the columns of a row that nothing is asked of
_UNUSED = (0, 0, 0, None)
_IN_CELL = "SELECT 1 FROM cell WHERE cell = ?"
#: what `COLUMNS` gives of an entity, and all of it where that was read, else None
Row = tuple[Any, ...]
#: the moment of the query, and whether anything that has expired by then is still in the tables
Expiring = tuple[int, bool]


class Names:
    """Numbers of attribute names. They never change, so those found are kept."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, connection: Connection, name: str) -> int | None:
        """The number of a name; None when no attribute ever had it."""
        number = self._numbers.get(name)
        if number is None:
            rows = list(connection.execute("SELECT id FROM name WHERE name = ?", (name,)))
            if not rows:
                return None
            number = self._numbers[name] = int(rows[0][0])
        return number


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, on whose behalf, and what answers it. `expiring`: see there."""

    connection: Connection
    names: Names
    spots: Spots
    permit: Permit
    query: Query
    expiring: Expiring


def run_query(asked: Asked, recent: Recent) -> Page:
    """A page of entities that match and exist for this permit, all of one moment."""
    settled = recent.settled()
    page, search = _answered(asked, None if settled is None else recent)
    if settled is not None:
        if search.recalled and recent.settled() != settled:
            return _answered(asked, None)[0]  # what was in memory may be of another moment
        recent.keep(search.fresh, settled)
    return page


def _answered(asked: Asked, recent: Recent | None) -> tuple[Page, _Search]:
    query = asked.query
    limit = min(query.limit, PAGE_MAX)
    since = asked.spots.generation
    with asked.connection.moment():
        search = _Search(asked, recent, since)
        rows = list(islice(search.rows(query.after or "", limit + 1), limit + 1)) if limit else []
        page = tuple(search.entities(rows[:limit]))
        count = search.count() if query.count else None
        return Page(page, count, page[-1].urn if len(rows) > limit else None), search


class _Search:
    """One query, compiled."""

    def __init__(self, asked: Asked, recent: Recent | None, since: int) -> None:
        """`recent`: entities in memory, where they are of the same moment. `since`: when that is,
        for the arrays."""
        self._connection = asked.connection
        self._names = asked.names
        self._spots = asked.spots
        self._since = since
        self._permit = asked.permit
        query = self._query = asked.query
        self._now_us, overdue = asked.expiring
        self._overdue = overdue
        self._types = self._visible_types()
        self._deadline = time.monotonic() + SECONDS_MAX
        self._terms: list[Term] = []
        self._dialect = self._connection.dialect
        self._then = self._dialect.then
        if query.condition is not None:
            self._terms = compile_condition(query.condition, self._lookup, self._dialect)
        if query.attributes:
            self._terms.append(self._any_attribute(query.attributes))
        if overdue:  # what the indexes say of attributes may be over, and is looked at again
            self._terms = [replace(term, exact=False) for term in self._terms]
            self._terms.append(Term(LASTS.format("e"), (self._now_us,), exact=query.geo is None))
        if query.type_sets:
            self._terms.append(_of_types(query.type_sets, self._dialect.fence))
        if query.id_pattern is not None:
            self._terms.append(self._like("e.urn", (query.id_pattern,)))
        if query.selectors:
            self._terms.append(self._selected(query.selectors))
        if query.scopes is not None:
            self._terms.append(self._in_scopes(query.scopes))
        if self._types is None:  # every type there is, but not what lies behind a wall
            self._terms.append(Term(f"substr(e.types, 1, 1) <> '{SEALED}'", (), True))
        self._box = None if query.geo is None else search_box(query.geo)
        self._related = (lambda _: False) if query.geo is None else relation(query.geo)
        self._rules: dict[str, TypeRule | None] = {}
        self._terms_exact = all(term.exact for term in self._terms)
        self._exact = query.geo is None and self._terms_exact
        compares = [term.compare for term in self._terms if term.compare is not None]
        self._numbers = [(one.path.name, number_test(one)) for one in compares]
        # all else is asked of the tables
        self._recent = recent if len(compares) == len(self._terms) else None
        #: how many were found in memory; those that were read instead
        self.recalled = 0
        self.fresh: list[Numbered] = []

    def entities(self, rows: list[Row]) -> Iterator[StoredEntity]:
        """Matches as they exist for the permit."""
        return (entity for entity in self._visible(rows) if entity is not None)

    def rows(self, after: str, wanted: int) -> Iterator[Row]:
        """Rows of matches by ascending id, from `after` on."""
        candidates = self._judged(self._candidates(after, wanted))
        last = None
        # several at a time: those that a closer look decides about are read in one go
        while part := list(islice(candidates, wanted or PART)):
            read = self._read([row for row, sure in part if not sure])
            for row, sure in part:
                # an entity with several places is given once
                if row[0] != last and (sure or self._meets(read[row[1]])):
                    last = row[0]
                    yield row

    def _judged(self, rows: Iterator[Any]) -> Iterator[tuple[Row, bool]]:
        """Candidates that may match, and whether that is sure already. Their last column is a body
        to judge them by, or all that was read of them, or None; it goes on where it is all."""
        for row in rows:
            if time.monotonic() > self._deadline:
                raise TooLarge(
                    f"the query takes over {SECONDS_MAX:g} s: narrow it by type or place"
                )
            rule = self._rule(row[2])
            if rule is None:
                continue
            last = row[8]
            placed = last is not None and self._placed(last, rule)
            if last is not None and not placed:
                continue
            sure = self._exact or (placed and self._terms_exact)
            if not sure and not self._dialect.regexp:
                # what the engine's own patterns can't say is looked at here
                types = tuple(row[2].split(" "))
                if not named(self._query, row[0], types, row[3]):
                    continue
            yield (row if isinstance(last, StoredEntity) else (*row[:8], None)), sure

    def _rule(self, types: str) -> TypeRule | None:
        """That of an entity of these types."""
        if types not in self._rules:
            self._rules[types] = self._permit.rule_of(tuple(types.split(" ")))
        return self._rules[types]

    def _candidates(self, after: str, wanted: int) -> Iterator[Row]:
        spotted = self._spotted(after, wanted)
        if spotted is not None:
            return spotted
        sql, values = self._sql(COLUMNS, after)
        if self._exact:
            rows: Iterator[Row]
            rows = self._connection.execute(f"{sql} LIMIT ?", (*values, wanted))
            return rows
        return self._connection.stream(sql, values)

    def _spotted(self, after: str, wanted: int) -> Iterator[Row] | None:
        """Candidates out of the arrays in memory, where those know of all there may be."""
        geo, near = self._query.geo, self._near()
        if geo is None or near is None or self._box is None or self._query.ids or self._overdue:
            return None
        name = near[4]
        if self._first(_IN_CELL, (elsewhere(name),), 1):  # and from here on it is one moment
            return None
        found = self._spots.find(name, self._box, geo, self._tests(), self._since)
        if found is None:
            return None
        entities, loose = found
        if after:
            for (last,) in self._connection.execute(
                "SELECT id FROM entity WHERE urn = ?", (after,)
            ):
                entities = _following(entities, last)
        parts = self._in_parts(entities.tolist(), after, wanted)
        if not loose:
            return parts
        return merge(self._of_entities(loose, after), parts, key=itemgetter(0))

    def _in_parts(self, entities: list[int], after: str, wanted: int) -> Iterator[Row]:
        """By ascending id, as many at a time as are likely to do."""
        start, size = 0, wanted + 2 if wanted else _PART_MAX
        while start < len(entities):
            yield from self._of_entities(entities[start : start + size], after)
            start, size = start + size, min(2 * size, _PART_MAX)

    def _of_entities(self, entities: list[int], after: str) -> Iterator[Row]:
        """Those of these entities that the terms let through, by ascending id, with all there is of
        them: nearly all are on the page. So what is asked of a number is asked of what was read."""
        rows, left = self._recall(entities, after)
        if left:
            read = self._whole_rows(left, after)
            if len(self.fresh) < PAGE_MAX:
                self.fresh += [(row[1], row[8]) for row in read]
            rows += read
        rows.sort(key=itemgetter(0))
        for row in rows:
            for name, holds in self._numbers:
                if not _passes(row[8], name, holds):
                    break
            else:
                yield row

    def _recall(self, entities: list[int], after: str) -> tuple[list[Row], list[int]]:
        """Those that are in memory, and those that are not."""
        if self._recent is None or self._types is None:
            return [], entities
        rows, left = [], []
        numbered, asked = self._recent.numbered, frozenset(self._types)
        for number in entities:
            entity = numbered(number)
            if entity is None:
                left.append(number)
            elif entity.urn > after and not asked.isdisjoint(entity.types):
                types, scopes = " ".join(entity.types), " ".join(entity.scopes)
                rows.append((entity.urn, number, types, scopes, *_UNUSED, entity))
        self.recalled += len(entities) - len(left)
        return rows, left

    def _whole_rows(self, entities: list[int], after: str) -> list[Row]:
        sql = (
            f"SELECT {COLUMNS}, {self._dialect.instances.format('e.id')} "
            f"FROM {self._dialect.numbers.format('?', 'j')} "
            f"{self._then.format('entity', 'e', 'e.id = j.value')} WHERE e.live"
        )
        values = [self._dialect.many(entities)]
        terms = [term for term in self._terms if term.compare is None]
        found = self._connection.stream(*self._finish(sql, values, terms, after, True, None))
        return [(*row[:8], whole(row, row[8])) for row in found]

    def _tests(self) -> tuple[Between, ...]:
        return tuple(term.between for term in self._terms if term.between is not None)

    def count(self) -> int:
        """How many match, over all pages."""
        if self._exact:
            sql, values = self._sql("1", "")
            rows = self._connection.execute(f"SELECT count(*) FROM ({sql}) s", values)
            return int(next(rows)[0])
        return sum(1 for _ in self.rows("", 0))

    def _placed(self, found: bytes | StoredEntity, rule: TypeRule) -> bool:
        """Whether the geometry that the place index found, or any that there is, stands in the
        relation, and exists for this permit: judged before anything else of the entity is."""
        geo = self._query.geo
        if geo is None or not rule.covers(geo.attribute):
            return False
        if isinstance(found, StoredEntity):
            for attribute in found.attributes:
                if attribute.name == geo.attribute and self._lies(attribute.body):
                    return True
            return False
        return self._lies(found)

    def _lies(self, body: bytes) -> bool:
        doc = _decode(body)
        return doc["type"] == "GeoProperty" and self._related(doc["value"])

    def _meets(self, entity: Entity | None) -> bool:
        query = self._query
        if entity is None:
            return False
        if query.condition is not None and not matches(entity, query.condition, self._linked):
            return False
        if query.attributes and not any(a.name in query.attributes for a in entity.attributes):
            return False
        return query.geo is None or _near(entity, query.geo)

    def _linked(self, urn: str) -> Entity | None:
        """The entity that a relationship leads to, as far as it exists for this permit."""
        rows = self._connection.execute(
            f"SELECT {COLUMNS}, NULL FROM entity e WHERE e.urn = ? AND e.live", (urn,)
        )
        row = next(iter(list(rows)), None)
        return None if row is None else self._read([row])[row[1]]

    def _read(self, rows: list[Row]) -> dict[int, Entity | None]:
        """Entities of rows, by number; None for what does not exist for the permit."""
        return {
            row[1]: None if entity is None else decode_entity(entity)
            for row, entity in zip(rows, self._visible(rows), strict=True)
        }

    def _visible(self, rows: list[Row]) -> list[StoredEntity | None]:
        """As they exist for the permit; those that were not read before are read in one go."""
        left = [row for row in rows if row[8] is None]
        if left:
            read = wholes(self._connection, left)
            rows = [row if row[8] is not None else (*row[:8], read[row[1]]) for row in rows]
        return [visible_entity(row[8], self._permit, self._now_us) for row in rows]

    def _sql(self, columns: str, after: str) -> tuple[str, tuple[Any, ...]]:
        drive, left = self._drive()
        if isinstance(drive, list):
            return self._by_cells(columns, after, drive)
        if drive is not None:
            sql = (
                f"SELECT {columns}, d.body FROM ({drive[0]}) d "
                f"{self._then.format('entity', 'e', 'e.id = d.entity')} WHERE e.live"
            )
            return self._finish(sql, list(drive[1]), left, after, types=True)
        if self._types is not None and len(self._types) == 1 and not self._query.ids:
            sql = (
                f"SELECT {columns}, NULL FROM entity_type t "
                f"{self._then.format('entity', 'e', 'e.id = t.entity')} WHERE t.type = ?"
            )
            return self._finish(sql, [self._types[0]], left, after, order="t.urn")
        sql = f"SELECT {columns}, NULL FROM entity e WHERE e.live"
        return self._finish(sql, [], left, after, types=True)

    def _finish(
        self,
        sql: str,
        values: list[Any],
        left: list[Term],
        after: str,
        types: bool = False,
        order: str | None = "e.urn",
    ) -> tuple[str, tuple[Any, ...]]:
        """The select with all that is still to test, in the order of ids, or in none. `types`:
        these too."""
        sql += f" AND {order or 'e.urn'} > ?"
        values.append(after)
        if types and self._types is not None:
            marks = _marks(self._types)
            sql += (
                f" AND (e.types IN ({marks}) OR EXISTS "
                f"(SELECT 1 FROM entity_type t WHERE t.type IN ({marks}) AND t.urn = e.urn"
                f"{self._dialect.fence}))"
            )
            values += self._types * 2
        if self._query.ids:
            sql += f" AND e.urn IN ({_marks(self._query.ids)})"
            values += self._query.ids
        for term in left:
            sql += f" AND {term.sql}"
            values += term.values
        return sql if order is None else f"{sql} ORDER BY {order}", tuple(values)

    def _by_cells(self, columns: str, after: str, cells: list[int]) -> tuple[str, tuple[Any, ...]]:
        """One select a cell, each in the order of ids, merged as far as they are read."""
        parts: list[str] = []
        values: list[Any] = []
        columns = columns.replace("e.urn", "c.urn")
        sql = (
            f"SELECT {columns}, a.body FROM cell c "
            f"{self._then.format('entity', 'e', 'e.id = c.entity')} "
            f"{self._then.format('attribute', 'a', 'a.id = c.attribute')} WHERE c.cell = ?"
        )
        terms = [replace(term, sql=term.sql.replace("e.id", "c.entity")) for term in self._terms]
        for cell in cells:
            part, more = self._finish(sql, [cell], terms, after, types=True, order="c.urn")
            parts.append(part.rpartition(" ORDER BY ")[0])
            values += more
        return " UNION ALL ".join(parts) + " ORDER BY 1", tuple(values)

    def _drive(self) -> tuple[tuple[str, tuple[Any, ...]] | list[int] | None, list[Term]]:
        """The select that gives the fewest candidates, or cells, and the terms still to test."""
        query = self._query
        if query.ids:
            return None, self._terms
        near = self._near()
        if near is None:
            return self._fewest(None, 0, DRIVE_MAX)
        some = self._first(self._dialect.in_box, near[:4], DENSE)
        if some < DENSE:
            return self._fewest(near, some, DRIVE_MAX)
        cells = self._cells(near)
        self._spots.want(near[4], self._tests())
        drive, left = self._fewest(None, 0, SELECTIVE if cells else DRIVE_MAX)
        if drive is not None:
            return drive, [*left, Term(self._dialect.near, near, False)]
        if cells:
            return cells, self._terms
        number = self._first(self._dialect.placed, near, DRIVE_MAX)
        if number < DRIVE_MAX:
            return self._fewest(near, number, DRIVE_MAX)
        return None, [*self._terms, Term(self._dialect.near, near, False)]

    def _fewest(
        self, near: tuple[Any, ...] | None, some: int, most: int
    ) -> tuple[tuple[str, tuple[Any, ...]] | None, list[Term]]:
        """Of the place index (with `some` candidates) and the terms' own the smallest, if any has
        fewer than `most`."""
        number, chosen = (most, None) if near is None else (some, None)
        for term in self._terms:
            if term.drive is not None:
                found = self._first(term.drive, term.values, number)
                if found < number:
                    number, chosen = found, term
        if chosen is not None:
            drive = f"SELECT DISTINCT entity, NULL AS body FROM ({chosen.drive}) s"
            left = [term for term in self._terms if term is not chosen]
            return (drive, chosen.values), left
        return (None if near is None else (self._dialect.placed, near)), self._terms

    def _first(self, select: str, values: tuple[Any, ...], most: int) -> int:
        rows = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM ({select}) s LIMIT {most}) t", values
        )
        return int(next(rows)[0])

    def _near(self) -> tuple[Any, ...] | None:
        """West, south, east, north of the box and the number of the attribute, for `placed`."""
        geo = self._query.geo
        if geo is None or self._box is None:
            return None
        number = self._names.number(self._connection, geo.attribute)
        return *self._box, -1 if number is None else number

    def _cells(self, near: tuple[Any, ...]) -> list[int] | None:
        """The cells of the box, where all places under that name are points."""
        *box, name = near
        cells = cells_of(name, tuple(box))
        if cells is not None and self._first(_IN_CELL, (elsewhere(name),), 1):
            return None
        return cells

    def _any_attribute(self, names: tuple[str, ...]) -> Term:
        known = [self._lookup(name) for name in names]
        numbers = [k.number for k in known if k is not None]
        marks = _marks(numbers)
        return Term(
            f"EXISTS (SELECT 1 FROM attribute WHERE entity = e.id AND name IN ({marks}) "
            f"AND live{self._dialect.fence})",
            tuple(numbers),
            all(k.covered for k in known if k is not None),
        )

    def _lookup(self, name: str) -> Known | None:
        number = self._names.number(self._connection, name)
        if number is None:
            return None
        other = self._connection.execute(
            f"SELECT 1 FROM attribute {self._dialect.indexed.format('attribute_other')} "
            "WHERE name = ? AND num IS NULL AND txt IS NULL AND live LIMIT 1",
            (number,),
        )
        return Known(number, not list(other), self._covered(name))

    def _covered(self, name: str) -> bool:
        types = self._types if self._types is not None else tuple(self._permit.rules)
        rules = [self._permit.rule(type_name) for type_name in types]
        return all(rule is not None and rule.covers(name) for rule in rules)

    def _like(self, column: str, patterns: tuple[str, ...]) -> Term:
        """All patterns are found in it; where the engine has no such test `named` does it."""
        if not self._dialect.regexp:
            return Term("TRUE", (), False)
        return Term(" AND ".join([f"regexp(?, {column})"] * len(patterns)), patterns, True)

    def _in_scopes(self, scopes: Scopes) -> Term:
        every = [
            self._like("e.scopes", tuple(map(scope_pattern, some))) for some in scopes.alternatives
        ]
        return _any_of(every)

    def _selected(self, selectors: tuple[Selector, ...]) -> Term:
        parts = []
        for selector in selectors:
            tests = [Term("TRUE", (), True)]
            if selector.type_sets:
                tests.append(_of_types(selector.type_sets, self._dialect.fence))
            if selector.ids:
                among = f"e.urn IN ({_marks(selector.ids)})"
                tests.append(Term(among, selector.ids, True))
            if selector.id_pattern is not None:
                tests.append(self._like("e.urn", (selector.id_pattern,)))
            parts.append(
                Term(
                    " AND ".join(test.sql for test in tests),
                    tuple(value for test in tests for value in test.values),
                    all(test.exact for test in tests),
                )
            )
        return _any_of(parts)

    def _visible_types(self) -> tuple[str, ...] | None:
        """Types to look among; None for all of them."""
        permit, asked = self._permit, self._query.types
        if asked:
            return tuple(name for name in asked if permit.rule(name) is not None)
        if ANY_TYPE in permit.rules:
            return None
        return tuple(name for name in permit.rules if not name.startswith("record:"))


def _near(entity: Entity, geo: Geo) -> bool:
    return any(
        a.kind == "GeoProperty" and related(a.value, geo) for a in entity.named(geo.attribute)
    )


def _passes(entity: StoredEntity, name: str, holds: Callable[[Any], bool]) -> bool:
    """Whether any value of a Property of that name is one that it holds of."""
    for attribute in entity.attributes:
        if attribute.name == name:
            doc = _decode(attribute.body)
            if doc["type"] == "Property" and holds(doc["value"]):
                return True
    return False


def _following(entities: Ints, last: int) -> Ints:
    """Those that come after one, as far as that is among them."""
    places = np.flatnonzero(entities == last)
    return entities[places[-1] + 1 :] if len(places) else entities


def _marks(values: Sequence[Any]) -> str:
    """For IN; nothing is among none."""
    return ", ".join("?" * len(values)) or "NULL"


def _any_of(terms: list[Term]) -> Term:
    sql = " OR ".join(f"({term.sql})" for term in terms)
    values = tuple(value for term in terms for value in term.values)
    return Term(f"({sql})", values, all(term.exact for term in terms))


def _of_types(sets: tuple[tuple[str, ...], ...], fence: str) -> Term:
    has = f"EXISTS (SELECT 1 FROM entity_type t WHERE t.type = ? AND t.urn = e.urn{fence})"
    either = " OR ".join("(" + " AND ".join(has for _ in names) + ")" for names in sets)
    return Term(f"({either})", tuple(name for names in sets for name in names), True)
