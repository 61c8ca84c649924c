# SPDX-License-Identifier: EUPL-1.2
"""What a temporal request asks for (CIM 009, 4.11, 6.18.3.2, 6.19.3.1, 6.24), from URL or body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from poorter.city.entity import Instance
from poorter.city.errors import Invalid
from poorter.city.limits import HISTORY_PAGE_MAX
from poorter.city.query import And, Condition, EvolutionQuery, Or, TemporalProperty
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.decode import parse_moment
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.params import check_names, number, options, parse_form
from poorter.standards.ngsild.problem import Misplaced
from poorter.standards.ngsild.projection import Projection
from poorter.standards.ngsild.temporal.aggregates import (
    Aggregation,
    parse_aggregation,
    parse_period,
)

_PROPERTIES = ("observedAt", "createdAt", "modifiedAt", "deletedAt")
_SHAPES = ("temporalValues", "aggregatedValues")
_SIMPLE = ("simplified", "keyValues")
_FORMS = ("normalized", "concise", *_SIMPLE, *_SHAPES)
WHEN = frozenset(("timerel", "timeAt", "endTimeAt", "timeproperty", "lastN"))
SHOWN = frozenset(
    ("attrs", "pick", "omit", "lang", "datasetId", "options", "format", "sysAttrs")
) | frozenset(("aggrMethods", "aggrPeriodDuration", "local"))


@dataclass(frozen=True, slots=True)
class Window:
    """Which instances: those whose `time` lies in [from, until), the newest `last` of them."""

    relation: str | None
    time: TemporalProperty
    stated: bool  # whether the temporal property was named
    from_us: int | None
    until_us: int | None
    last: int | None

    def query(self, urn: str, limit: int) -> EvolutionQuery:
        """The same as a question to the store, about one entity."""
        return EvolutionQuery(
            urn,
            time=self.time if self.relation or self.stated else None,
            from_us=self.from_us,
            until_us=self.until_us,
            last=self.last,
            limit=limit,
        )

    def covers(self, one: Instance) -> bool:
        """Whether the temporal property of an instance lies in the interval."""
        moment_us = time_of(one, self.time)
        return (
            moment_us is not None
            and (self.from_us is None or moment_us >= self.from_us)
            and (self.until_us is None or moment_us < self.until_us)
        )


def time_of(one: Instance, time: TemporalProperty) -> int | None:
    """A temporal property of an instance, None when it has none."""
    if time == "deletedAt":
        return one.deleted_at_us
    if one.deleted_at_us is not None and time != "observedAt":
        return None  # a deletion was neither entered nor changed
    if time == "createdAt":
        return one.attribute.created_at_us
    if time == "modifiedAt":
        return one.attribute.modified_at_us
    return one.attribute.observed_at_us


@dataclass(frozen=True, slots=True)
class Asked:
    """How instances are to be written. `values`: as pairs of value and time (4.5.9)."""

    window: Window
    form: Form
    values: bool
    aggregation: Aggregation | None

    def only(self, query: EvolutionQuery) -> EvolutionQuery:
        """The question narrowed to what will be shown."""
        form = self.form
        names = form.only or frozenset(form.pick.attributes if form.pick else ())
        return replace(query, names=tuple(names), dataset_ids=tuple(form.datasets or ()))


def parse_asked(given: Mapping[str, str], context: Context, embed: bytes | None) -> Asked:
    """Window and form. Raises Invalid, Misplaced."""
    shape = _shape(given)
    rest = {name: value for name, value in given.items() if name not in ("options", "format")}
    if "sysAttrs" in options(given, (*_FORMS, "sysAttrs")):
        rest["sysAttrs"] = "true"
    if shape == "concise":
        rest["format"] = "concise"
    form = parse_form(rest, context, embed)
    for projection in (form.pick, form.omit):
        _unlinked(projection)
    aggregation = None
    if shape == "aggregatedValues":
        aggregation = parse_aggregation(given)
    values = shape == "temporalValues" or shape in _SIMPLE
    return Asked(parse_window(given), form, values, aggregation)


def _shape(given: Mapping[str, str]) -> str:
    """format goes before options (6.3.12). Raises Misplaced for one that does not exist."""
    listed = options(given, (*_FORMS, "sysAttrs"))
    form = given.get("format") or None
    if form is not None and form not in _FORMS:
        raise Misplaced(f"{form!r:.60} is no representation")
    return form or next((one for one in listed if one in _FORMS), "normalized")


def _unlinked(projection: Projection | None) -> None:
    for under in projection.members.values() if projection else ():
        if under is not None:
            raise Invalid("a temporal evolution does not go on in linked entities")


def parse_window(given: Mapping[str, str]) -> Window:
    """The temporal query (4.11). Raises Invalid."""
    relation = given.get("timerel") or None
    stated = given.get("timeproperty") or None
    if stated is not None and stated not in _PROPERTIES:
        raise Invalid(f"timeproperty is one of {', '.join(_PROPERTIES)}")
    at_us = _moment(given, "timeAt")
    from_us = until_us = None
    if relation is None and at_us is not None:
        raise Invalid("timeAt needs timerel")
    if relation is not None:
        if relation not in ("before", "after", "between"):
            raise Invalid("timerel is before, after or between")
        if at_us is None:
            raise Invalid("timerel needs timeAt")
        if relation == "before":
            until_us = at_us
        else:
            from_us = at_us
        if relation == "between":
            until_us = _moment(given, "endTimeAt")
            if until_us is None:
                raise Invalid("between needs endTimeAt")
    last = number(given, "lastN", 0, 1, HISTORY_PAGE_MAX) if "lastN" in given else None
    known: TemporalProperty = stated or "observedAt"  # type: ignore[assignment]
    return Window(relation, known, stated is not None, from_us, until_us, last)


def _moment(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name) or None
    return None if text is None else parse_moment("the temporal query", text, name)


def linked(condition: Condition | None) -> bool:
    """Whether a condition goes on in linked entities."""
    if condition is None:
        return False
    if isinstance(condition, And | Or):
        return any(map(linked, condition.terms))
    return condition.path.linked is not None


def temporal_from_body(value: Any) -> dict[str, str]:
    """A TemporalQuery (5.2.21) or AggregationParams (5.2.44) as parameters. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid("temporalQ and aggrParams are JSON objects")
    found: dict[str, str] = {}
    for member, part in value.items():
        if member == "lastN":
            if not isinstance(part, int) or isinstance(part, bool):
                raise Invalid("lastN is a positive whole number")
            found[member] = str(part)
        elif member == "aggrMethods" and isinstance(part, list):
            if not all(isinstance(one, str) for one in part):
                raise Invalid("aggrMethods is a list of texts")
            found[member] = ",".join(part)
        elif member in WHEN | {"aggrMethods", "aggrPeriodDuration"} and isinstance(part, str):
            found[member] = part
            if member == "aggrPeriodDuration":
                parse_period(part)  # a duration also where it does not apply (5.5.4)
        else:
            raise Invalid(f"temporalQ has no member {member!r:.60}, or not of this kind")
    return found


def check_retrieve(given: Mapping[str, str]) -> None:
    """Raises Misplaced for a parameter that retrieving does not know."""
    check_names(given, WHEN | SHOWN)
