# SPDX-License-Identifier: EUPL-1.2
"""q, geo and @context: what they mean, and that nothing but clear errors comes of anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.city.errors import CityError, Invalid
from poorter.city.query import And, Compare, Exists, Moment, Or, Path, Range
from poorter.standards.ngsild.context import CORE, make_context
from poorter.standards.ngsild.geo import parse_geo
from poorter.standards.ngsild.grammar import parse_q


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a", Exists(Path("a"))),
        ("a==1", Compare(Path("a"), "==", (1,))),
        ("a!=-2.5", Compare(Path("a"), "!=", (-2.5,))),
        ('a=="x;y|(z)"', Compare(Path("a"), "==", ("x;y|(z)",))),
        ("a.b[c.d]>=true", Compare(Path("a", ("b",), ("c", "d")), ">=", (True,))),
        ("a==1..5", Compare(Path("a"), "==", (Range(1, 5),))),
        ('a=="x","y"', Compare(Path("a"), "==", ("x", "y"))),
        ("a~=^b.*", Compare(Path("a"), "~=", ("^b.*",))),
        ("a>2026-01-01T00:00:00Z", Compare(Path("a"), ">", (Moment(1_767_225_600_000_000),))),
        (
            "a;b|c",
            Or((And((Exists(Path("a")), Exists(Path("b")))), Exists(Path("c")))),
        ),
        ("a;(b|c)", And((Exists(Path("a")), Or((Exists(Path("b")), Exists(Path("c"))))))),
    ],
)
def test_what_q_means(text: str, meaning: object) -> None:
    assert parse_q(text, CORE) == meaning


@pytest.mark.parametrize(
    "text",
    ["", "a==", "==1", "(a", "a)", "a;;b", "a==1;", 'a=="x', "a[b", "a>1,2", "a>1..2", "a~=(x+)+"],
)
def test_what_is_no_q(text: str) -> None:
    with pytest.raises(Invalid):
        parse_q(text, CORE)


PIECES = st.sampled_from(
    ["a", "b.c", "[d]", "==", "!=", "~=", ">", "1", '"x"', "..", ",", ";", "|", "(", ")", " ", "\\"]
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=25).map("".join)))
def test_q_gives_a_condition_or_a_clear_error(text: str) -> None:
    try:
        parse_q(text, CORE)
    except CityError as wrong:
        assert wrong.status in (400, 413)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "georel": st.one_of(st.text(max_size=30), st.just("near;maxDistance==5")),
            "geometry": st.sampled_from(["Point", "Polygon", "LineString", "Moon", ""]),
            "coordinates": st.one_of(
                st.text(max_size=30), st.sampled_from(["[1,2]", "[[[1,2],[3,4],[1,2]]]", "[", "9"])
            ),
        },
    )
)
def test_geo_gives_a_query_or_a_clear_error(query: dict[str, str]) -> None:
    try:
        parse_geo(query, CORE)
    except CityError as wrong:
        assert wrong.status in (400, 413)


def test_terms_of_a_context_and_back() -> None:
    terms = {"ex": "https://example.org/", "speed": "ex:speed", "place": {"@id": "ex:place"}}
    context = make_context([terms, {"location": "ex:elsewhere", "height": "ex:height"}], "any")
    assert context.expand("speed") == "https://example.org/speed"
    assert context.compact("https://example.org/place") == "place"
    assert context.compact("https://example.org/other") == "ex:other"
    assert context.expand("ex:other") == "https://example.org/other"
    assert context.expand("https://uri.etsi.org/ngsi-ld/default-context/x") == "x"
    assert context.expand("unknown") == "unknown"
    assert context.expand("location") == "location", "terms of the core are protected"
    assert context.compact("height") == "ngsi-ld:default-context/height"
    assert context.expand("ngsi-ld:default-context/height") == "height"
    assert CORE.compact("https://uri.etsi.org/ngsi-ld/other") == "ngsi-ld:other"
    with pytest.raises(Invalid):
        make_context([{"a": "b:x", "b": "a:y"}], "any")
