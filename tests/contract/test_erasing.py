# SPDX-License-Identifier: EUPL-1.2
"""Erase and Prune: what goes is gone from state, history, events and the file itself."""

from pathlib import Path

import apsw
import pytest
from tests.permits import READ, WRITE, permit

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Denied, NotFound
from poorter.city.query import Compare, EvolutionQuery, HistoryQuery, Query
from poorter.city.query import Path as QueryPath
from poorter.gate.permit import ANY_TYPE, TypeRule
from poorter.store.body import decode_attribute
from poorter.store.contract import (
    Change,
    Create,
    Erase,
    Observe,
    Prune,
    Put,
    Reading,
    Reseal,
    SetAttributes,
    Store,
)

URN = "urn:ngsi-ld:Thing:canary"
WORD = "canary-value-that-is-nowhere-else"


def write(store: Store, *ops: object) -> None:
    store.commit(WRITE, Change(ops)).result(10)  # type: ignore[arg-type]


def thing(value: object = WORD) -> Entity:
    point = {"type": "Point", "coordinates": [5.0, 52.0]}
    attributes = (Attribute("a", value, observed_at_us=5), Attribute("at", point, "GeoProperty"))
    return Entity(URN, ("Thing",), attributes)


def naming(file: Path, urn: str) -> set[str]:
    """The tables in which that name stands."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        asked = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        columns = list(connection.execute(asked + " WHERE m.type = 'table'"))
        return {
            table
            for table, column in columns
            if list(connection.execute(f'SELECT 1 FROM {table} WHERE "{column}" = ?', (urn,)))
        }
    finally:
        connection.close()


def test_what_is_erased_is_nowhere(store: Store, tmp_path: Path) -> None:
    write(store, Create(thing()), Put(Entity("urn:x:2", ("Thing",))))
    write(store, Observe("Thing", (Reading(URN, "a", 9, WORD + "2"),)))
    write(store, Erase(URN))
    with pytest.raises(NotFound):
        store.entity(READ, URN)
    with pytest.raises(NotFound):
        store.history(READ, HistoryQuery(URN))
    assert [e.urn for e in store.query(READ, Query(types=("Thing",))).entities] == ["urn:x:2"]
    told = store.events(READ, 0)
    assert [event.urn for event in told if event.urn == URN] == [URN], "that it went"
    store.scrub(READ)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or WORD.encode() not in file.read_bytes(), file
    for file in tmp_path.rglob("city.db"):
        assert naming(file, URN) == {"event"}, "that it went"
    write(store, Erase(URN))  # once more is nothing
    write(store, Create(thing("new")))
    assert [o.value for o in store.history(READ, HistoryQuery(URN, ("a",)))] == ["new"]


def test_pruning_takes_what_is_old_and_raises_the_version(store: Store) -> None:
    old = Attribute("old", 1, observed_at_us=1)
    new = Attribute("new", 2, observed_at_us=10)
    write(store, Create(Entity(URN, ("Thing",), (old, new))))
    before = store.entity(READ, URN).version
    write(store, Observe("Thing", (Reading(URN, "new", 20, 3),)))
    write(store, Prune(URN, 15))
    kept = store.entity(READ, URN)
    assert [a.name for a in kept.attributes] == ["new"]
    assert kept.version > before
    assert [o.value for o in store.history(READ, HistoryQuery(URN))] == [3]


def test_erasing_takes_a_rule_for_the_type(store: Store) -> None:
    write(store, Create(thing()))
    other = permit("write", {"Other": TypeRule()})
    with pytest.raises(Denied):
        store.commit(other, Change((Erase(URN),))).result(10)


def test_what_lies_behind_a_wall_is_in_no_rule_but_its_own(store: Store) -> None:
    own = permit("write", {"~Person": TypeRule()})
    hidden = Entity("urn:ngsi-ld:Person:~x", ("~Person",), (Attribute("a", 1),))
    store.commit(own, Change((Create(hidden),))).result(10)
    write(store, Put(thing()))
    assert ANY_TYPE in READ.rules
    with pytest.raises(NotFound):
        store.entity(READ, hidden.urn)
    page = store.query(READ, Query(count=True))
    assert ([e.urn for e in page.entities], page.count) == ([URN], 1)
    assert [name for name, _ in store.types(READ)] == ["Thing"]
    assert {facet.type for facet in store.facets(READ)} == {"Thing"}
    assert all(event.urn != hidden.urn for event in store.events(READ, 0))
    seen = store.query(permit("read", {"~Person": TypeRule()}), Query(types=("~Person",)))
    assert [e.urn for e in seen.entities] == [hidden.urn]


def test_sealed_anew_in_its_place_and_nobody_is_told(store: Store) -> None:
    urn, rules = "urn:ngsi-ld:Person:~x", {"~Person": TypeRule()}
    own, reading = permit("write", rules), permit("read", rules)
    here = Attribute("a", "one", observed_at_us=5)
    other = Attribute("a", "two", observed_at_us=5, dataset_id="urn:d:1")
    undated, number = Attribute("b", "three"), Attribute("n", 4, observed_at_us=5)
    mark = Attribute("~of", "whom")
    entity = Entity(urn, ("~Person",), (here, other, undated, number, mark))
    store.commit(own, Change((Create(entity),))).result(10)
    for moment, value in ((9, "four"), (9, "four, corrected"), (3, "earlier")):
        observed = Observe("~Person", (Reading(urn, "a", moment, value),))
        store.commit(own, Change((observed,))).result(10)
    store.commit(own, Change((SetAttributes(urn, (Attribute("b", "five"),)),))).result(10)
    store.entity(reading, urn)  # kept in memory from here on
    before, last = store.entity(reading, urn), store.sequence()
    said = store.history(reading, HistoryQuery(urn, corrections=True))
    evolved = store.evolution(reading, EvolutionQuery(urn))
    asked: set[tuple[str, str | None, int | None, str]] = set()

    def turn(name: str, dataset_id: str | None, observed_us: int | None, text: str) -> str:
        asked.add((name, dataset_id, observed_us, text))
        return text.upper()

    with pytest.raises(Denied):
        store.commit(WRITE, Change((Reseal(urn, turn),))).result(10)
    done = store.commit(own, Change((Reseal(urn, turn), Reseal("urn:x:absent", turn)))).result(10)
    assert done.results[0] > 0
    assert done.results[1] == 0
    assert ("a", "urn:d:1", 5, "two") in asked
    assert ("a", None, 9, "four, corrected") in asked
    assert not any(name == "~of" for name, *_ in asked)
    after = store.entity(reading, urn)
    assert (after.version, after.modified_at_us) == (before.version, before.modified_at_us)
    texts = {(a.name, a.dataset_id): a.body for a in after.attributes}
    for old in before.attributes:
        value = decode_attribute(old.name, old.body).value
        now = decode_attribute(old.name, texts[old.name, old.dataset_id]).value
        changes = isinstance(value, str) and old.name != "~of"
        assert now == (value.upper() if changes else value)
    upper = [o.value.upper() if isinstance(o.value, str) else o.value for o in said]
    assert [o.value for o in store.history(reading, HistoryQuery(urn, corrections=True))] == [
        "whom" if value == "WHOM" else value for value in upper
    ]
    found = store.evolution(reading, EvolutionQuery(urn)).instances
    assert len(found) == len(evolved.instances)
    assert all(str(i.attribute.value).isupper() for i in found if i.attribute.name in ("a", "b"))
    shouted = Query(types=("~Person",), condition=Compare(QueryPath("b"), "==", ("FIVE",)))
    assert [e.urn for e in store.query(reading, shouted).entities] == [urn]
    assert store.sequence() == last
