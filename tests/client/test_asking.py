# SPDX-License-Identifier: EUPL-1.2
"""Queries written as parameters mean the same when they are read again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poorter.city.errors import Invalid, Unsupported
from poorter.city.query import And, Compare, Exists, Geo, Moment, Or, Path, Query, Range
from poorter.client.asking import entity_params, write_q
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.grammar import parse_q
from poorter.standards.ngsild.selecting import parse_which

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
PATHS = st.builds(
    Path,
    NAMES,
    st.lists(NAMES, max_size=2).map(tuple),
    st.lists(NAMES, max_size=2).map(tuple),
)
TEXTS = st.text(st.characters(exclude_characters="\\", exclude_categories=("Cs",)), max_size=12)
SINGLE = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.booleans(),
    TEXTS,
    st.integers(0, 4 * 10**15).map(Moment),
)
NUMBERS = st.integers(-1000, 1000)
COMPARED = st.one_of(
    st.builds(
        Compare,
        PATHS,
        st.sampled_from(["==", "!="]),
        st.lists(SINGLE | st.builds(Range, NUMBERS, NUMBERS), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Compare, PATHS, st.sampled_from([">", ">=", "<", "<="]), st.tuples(SINGLE)),
)
TERMS = st.builds(Exists, PATHS) | COMPARED


def _joined(inner: Any) -> Any:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(And, several) | st.builds(Or, several)


@given(st.recursive(TERMS, _joined, max_leaves=8))
def test_a_condition_reads_back_as_it_was(condition: Any) -> None:
    assert parse_q(write_q(condition), CORE) == condition


def test_a_whole_query_reads_back_as_it_was() -> None:
    query = Query(
        types=("OffStreetParking", "https://example.org/Other"),
        ids=("urn:x:a", "urn:x:b"),
        id_pattern="urn:x:.*",
        attributes=("n", "m"),
        condition=Compare(Path("name"), "==", ('say "yes"', "no; never|maybe")),
        geo=Geo("near", {"type": "Point", "coordinates": [5.1, 52.2]}, "place", 1500.5),
    )
    read = parse_which(entity_params(query), CORE)
    assert (read.types, read.ids, read.id_pattern) == (query.types, query.ids, query.id_pattern)
    assert (read.attributes, read.condition) == (query.attributes, query.condition)
    assert read.geo == query.geo
    assert entity_params(Query(type_sets=(("A", "B"), ("C",)))) == {"type": "(A;B)|(C)"}


def test_what_can_not_be_said_is_refused_and_not_said_otherwise() -> None:
    with pytest.raises(Invalid):
        write_q(Compare(Path("a"), "==", ("back\\slash",)))
    with pytest.raises(Invalid):
        write_q(Exists(Path("https://example.org/a", ("b",))))
    with pytest.raises(Unsupported):
        write_q(Exists(Path("a", linked=Path("b"))))
