# SPDX-License-Identifier: EUPL-1.2
"""Which entities a query means by type, id, pattern and scope: in Python, as it is defined."""

from __future__ import annotations

import re

from poorter.city.pattern import occurs
from poorter.city.query import Query, Selector
from poorter.city.scope import scope_pattern


def means(query: Query, urn: str, types: tuple[str, ...]) -> bool:
    """By type, id and pattern."""
    if query.selectors:
        return any(_selects(one, urn, types) for one in query.selectors)
    if query.types and not set(query.types) & set(types):
        return False
    return _selects(Selector(query.type_sets, query.ids, query.id_pattern), urn, types)


def named(query: Query, urn: str, types: tuple[str, ...], scopes: str) -> bool:
    """By all of these; `scopes` are joined by spaces."""
    wanted = query.scopes
    return means(query, urn, types) and (
        wanted is None
        or any(
            all(re.search(scope_pattern(one), scopes) for one in every)
            for every in wanted.alternatives
        )
    )


def _selects(one: Selector, urn: str, types: tuple[str, ...]) -> bool:
    return (
        (not one.type_sets or any(set(names) <= set(types) for names in one.type_sets))
        and (not one.ids or urn in one.ids)
        and (one.id_pattern is None or occurs(one.id_pattern, urn))
    )
