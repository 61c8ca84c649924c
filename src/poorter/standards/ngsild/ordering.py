# SPDX-License-Identifier: EUPL-1.2
"""Entity ordering (CIM 009, 4.23): by values or by distance, mixed kinds in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from poorter.city.entity import Entity
from poorter.city.errors import Invalid
from poorter.city.matching import targets_of
from poorter.city.place import centre, check_geometry, distance_m
from poorter.city.query import Path
from poorter.standards.ngsild.collation import ROOT, Collation, parse_collation
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.grammar import parse_path

ORDERED_MAX = 10_000
_TERMS_MAX = 10
_DIRECTIONS = ("asc", "desc", "dist-asc", "dist-desc")


@dataclass(frozen=True, slots=True)
class Order:
    """Paths with their direction; `origin`: the geometry that distances are measured from."""

    terms: tuple[tuple[Path, str], ...]
    origin: dict[str, Any] | None = None
    collation: Collation = ROOT

    def sort(self, entities: list[Entity]) -> list[int]:
        """The positions of the entities in this order; the same ones keep the order of ids."""
        positions = list(range(len(entities)))
        for path, direction in reversed(self.terms):
            keys = [self._key(entity, path, direction) for entity in entities]
            there = [at for at in positions if keys[at] is not None]
            there.sort(key=lambda at: keys[at], reverse=direction.endswith("desc"))
            positions = there + [at for at in positions if keys[at] is None]
        return positions

    def _key(self, entity: Entity, path: Path, direction: str) -> Any:
        first: tuple[int, ...] = ()
        if direction.startswith("dist") and self.origin is not None:
            geometry = entity.geometry(path.name)
            if geometry is not None:
                return (0, distance_m(centre(geometry), centre(self.origin)))
            first = (1,)
        value = next(targets_of(entity, path), None)
        return None if value is None else (*first, *_rank(value, self.collation))


def parse_order(given: Mapping[str, str], context: Context) -> Order | None:
    """The order asked for, None for that of ids. Raises Invalid."""
    text = given.get("orderBy")
    if not text:
        return None
    terms: list[tuple[Path, str]] = []
    for part in text.split(","):
        name, _, direction = part.strip().partition(";")
        direction = direction or "asc"
        if direction not in _DIRECTIONS:
            raise Invalid(f"orderBy: a direction is one of {', '.join(_DIRECTIONS)}")
        terms.append((parse_path(name, context), direction))
    if len(terms) > _TERMS_MAX:
        raise Invalid(f"orderBy has at most {_TERMS_MAX} terms")
    origin = _origin(given)
    if origin is None and any(direction.startswith("dist") for _, direction in terms):
        raise Invalid("ordering by distance needs orderFrom")
    return Order(tuple(terms), origin, parse_collation(given.get("collation")))


def _origin(given: Mapping[str, str]) -> dict[str, Any] | None:
    if not given.get("orderFrom"):
        return None
    try:
        coordinates = json.loads(given["orderFrom"])
    except (ValueError, RecursionError):
        raise Invalid("orderFrom must be a JSON array") from None
    return check_geometry(
        {"type": given.get("orderGeometry") or "Point", "coordinates": coordinates}
    )


def _rank(value: Any, collation: Collation) -> tuple[Any, ...]:
    """Numbers, strings, objects, arrays, booleans (4.23.2)."""
    if isinstance(value, bool):
        return (4, value)
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, str):
        return (1, *collation.key(value))
    if isinstance(value, dict):
        return (2, json.dumps(value, sort_keys=True))
    return (3, json.dumps(value, sort_keys=True))
