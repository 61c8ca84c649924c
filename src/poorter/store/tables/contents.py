# SPDX-License-Identifier: EUPL-1.2
"""All that tables and segments keep, as of one moment, row by row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import groupby, islice
from operator import itemgetter
from types import TracebackType
from typing import Any

import msgspec

from poorter.city.clock import Clock
from poorter.gate.permit import ANY_TYPE, Permit, TypeRule
from poorter.store import contents as k
from poorter.store.tables.manifest import AFTER_ALL_US, BEFORE_ALL_US, Files, out_of, segments
from poorter.store.tables.port import Connection

#: rows between two looks at the permit
_PART = 2000
_decode = msgspec.json.Decoder().decode
_ENTITIES = (
    "SELECT e.urn, e.types, e.scopes, e.version, e.created_us, e.modified_us, e.live, "
    "e.expires_us, n.name, a.dataset, a.body, a.created_us, a.modified_us, a.version, a.live "
    "FROM entity e LEFT JOIN attribute a ON a.entity = e.id LEFT JOIN name n ON n.id = a.name "
    "ORDER BY e.urn, a.id"
)
_INSTANCE = (
    "SELECT e.urn, e.types, n.name, a.dataset FROM attribute a JOIN entity e ON e.id = a.entity "
    "JOIN name n ON n.id = a.name WHERE a.id = ?"
)
_RECORDS = "SELECT kind, id, doc, version, created_us, modified_us FROM record ORDER BY kind, id"
_KEYS = "SELECT key, value FROM record_key WHERE kind = ? AND id = ? ORDER BY key"
_EVENTS = "SELECT sequence, at_us, kind, urn, types, names FROM event ORDER BY sequence"
_PLAIN: dict[type[k.Row], tuple[str, str]] = {
    k.HoldRow: ("hold", "SELECT pool, id, units, until_us FROM hold"),
    k.ReplayRow: ("replay", "SELECT key, at_us, answer FROM replay"),
    k.LeafRow: ("leaf", "SELECT idx, leaf, subject, payload FROM leaf ORDER BY idx"),
    k.LineRow: ("leaf", "SELECT subject, seq, leaf FROM line"),
    k.TraceRow: ("leaf", "SELECT trace, first, number FROM trace"),
}
Raw = tuple[Any, ...]


class TableContents:
    """A reading transaction of its own; segments that it may read stay until it is closed."""

    def __init__(
        self,
        connection: Connection,
        files: Files,
        clock: Clock,
        renewed: Callable[[], Permit],
        staying: threading.Lock,
    ) -> None:
        """`connection`: for this alone; it is closed at the end. `staying`: segments do, while it
        is held."""
        self._connection = connection
        self._run = connection.execute
        self._stream = connection.stream
        self._files = files
        self._clock = clock
        self._renewed = renewed
        self._permit = renewed()
        self._readers: dict[type[k.Row], Callable[[], Iterator[k.Row]]] = {
            k.EntityRow: self._entities,
            k.ObservationRow: self._observations,
            k.InstanceRow: self._instances,
            k.EvolvedRow: self._evolved,
            k.RecordRow: self._records,
            k.EventRow: self._events,
        }
        self._ending = ExitStack()
        self._ending.callback(connection.close)
        with self._ending:
            self._look()
            self._ending.enter_context(staying)
            self._ending.enter_context(connection.moment())
            ((sequence, at_us),) = self._run(
                "SELECT coalesce(max(sequence), 0), coalesce(max(at_us), 0) FROM event"
            )
            self.sequence, self.at_us = int(sequence), int(at_us)
            self._ending = self._ending.pop_all()

    def __enter__(self) -> TableContents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.close()

    def rows(self, row_type: type[k.Row]) -> Iterator[k.Row]:
        """All rows of one type that exist for the permit."""
        plain = _PLAIN.get(row_type)
        found = self._readers[row_type]() if plain is None else self._plain(row_type, *plain)
        while part := list(islice(found, _PART)):
            self._look()
            yield from part

    def _look(self) -> None:
        self._permit = self._renewed()
        self._permit.check("read", self._clock.now_us())

    def _rule(self, types: str) -> TypeRule | None:
        return self._permit.rule_of(tuple(types.split()))

    # -- rows ----------------------------------------------------------------------------------

    def _entities(self) -> Iterator[k.Row]:
        for _, group in groupby(self._stream(_ENTITIES, ()), itemgetter(0)):
            rows: list[Raw] = list(group)
            urn, types, scopes, version, created_us, modified_us, live, ends_us = rows[0][:8]
            rule = self._rule(types)
            if rule is None:
                continue
            kept = []
            for name, dataset, body, made_us, changed_us, later, there in (r[8:] for r in rows):
                version = max(version, later or 0)
                if there:
                    modified_us = max(modified_us, changed_us)
                    if rule.covers(name):
                        kept.append(k.AttributeRow(name, dataset, body, made_us, changed_us))
            names, paths = tuple(types.split()), tuple(scopes.split())
            times = (version, created_us, modified_us)
            yield k.EntityRow(urn, names, paths, *times, bool(live), ends_us, tuple(kept))

    def _observations(self) -> Iterator[k.Row]:
        recent: Iterable[Raw] = self._connection.words(
            "SELECT attribute, observed_us, sequence, received_us, quality, value FROM history "
            "ORDER BY attribute, observed_us, sequence",
            (),
        )
        yield from self._named(recent)
        found = segments(self._connection)
        if not found:
            return
        from poorter.store.history.scan import rows_in

        for segment in found:
            out = out_of(self._connection, segment)
            parts = rows_in(self._files.open(), segment, None, BEFORE_ALL_US, AFTER_ALL_US, out)
            yield from self._named(row for part in parts for row in part.tuples())

    def _named(self, rows: Iterable[Raw]) -> Iterator[k.Row]:
        """Rows of history, sorted by instance, under the names of what they are about."""
        now_us = self._clock.now_us()
        for instance, group in groupby(rows, itemgetter(0)):
            of = list(self._run(_INSTANCE, (instance,)))
            if not of:
                continue
            urn, types, name, dataset = of[0]
            rule = self._rule(types)
            if rule is None or not rule.covers(name):
                continue
            since_us = BEFORE_ALL_US if rule.retention_us is None else now_us - rule.retention_us
            for _, observed_us, sequence, received_us, quality, value in group:
                if observed_us >= since_us:
                    word = (observed_us, sequence, received_us, quality, value)
                    yield k.ObservationRow(urn, name, dataset, *word)

    def _instances(self) -> Iterator[k.Row]:
        rows: Iterable[Raw] = self._stream(
            "SELECT e.types, i.urn, i.name, i.dataset, i.observed_us, i.n, i.id, i.created_us, "
            "i.modified_us, i.deleted_us, i.body FROM instance i JOIN entity e ON e.urn = i.urn",
            (),
        )
        for types, *values in rows:
            rule = self._rule(types)
            if rule is not None and (rule.covers(values[1]) or values[1] == "scope"):
                yield k.InstanceRow(*values)

    def _evolved(self) -> Iterator[k.Row]:
        rows: Iterable[Raw] = self._stream(
            "SELECT e.types, v.urn, v.version FROM evolved v JOIN entity e ON e.urn = v.urn", ()
        )
        return (k.EvolvedRow(urn, n) for types, urn, n in rows if self._rule(types) is not None)

    def _records(self) -> Iterator[k.Row]:
        rows: Iterable[Raw] = self._stream(_RECORDS, ())
        for of, record_id, doc, version, created_us, modified_us in rows:
            if self._permit.rule(f"record:{of}") is not None:
                keys: Any = tuple(self._run(_KEYS, (of, record_id)))
                times = (version, created_us, modified_us)
                yield k.RecordRow(of, record_id, _decode(doc), *times, keys)

    def _events(self) -> Iterator[k.Row]:
        everything = self._permit.rule(ANY_TYPE) is not None
        rows: Iterable[Raw] = self._stream(_EVENTS, ())
        for sequence, at_us, what, urn, types, names in rows:
            # of what was erased only its number is left
            if self._rule(types) is not None or (not types and everything):
                words = (tuple(types.split()), tuple(names.split()))
                yield k.EventRow(sequence, at_us, what, urn, *words)

    def _plain(self, row_type: type[k.Row], record: str, sql: str) -> Iterator[k.Row]:
        if self._permit.rule(f"record:{record}") is None:
            return iter(())
        make: Any = row_type
        rows: Iterable[Raw] = self._stream(sql, ())
        return (make(*row) for row in rows)
