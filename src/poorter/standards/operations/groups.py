# SPDX-License-Identifier: EUPL-1.2
"""What a group question means over HTTP: GET /api/city/groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poorter.city.errors import Invalid, TooLarge
from poorter.city.limits import GROUP_BUCKETS_MAX, NAME_CHARS_MAX
from poorter.city.time import HOUR_US, format_us, parse_us
from poorter.standards.ngsild.params import check_names, number
from poorter.store.contract import Bucket
from poorter.store.history.groups import GroupQuery

_KNOWN = frozenset(("type", "attr", "by", "areas", "from", "until", "hours"))
_HOURS_MAX = 366 * 24


def parse_groups(given: Mapping[str, str]) -> GroupQuery:
    """`type` and `attr` in buckets of `hours`, grouped `by` an attribute or by `areas` of a type.

    Raises: Invalid, TooLarge.
    """
    check_names(given, _KNOWN)
    if ("by" in given) == ("areas" in given):
        raise Invalid("groups are made by an attribute (by) or by areas of a type (areas)")
    width_us = number(given, "hours", 1, 1, _HOURS_MAX) * HOUR_US
    from_us, until_us = parse_us(_text(given, "from")), parse_us(_text(given, "until"))
    if not from_us < until_us:
        raise Invalid("from lies before until")
    if (until_us - from_us) / width_us > GROUP_BUCKETS_MAX:
        raise TooLarge(f"ask for at most {GROUP_BUCKETS_MAX} buckets")
    areas = _text(given, "areas") if "areas" in given else None
    by = _text(given, "by") if areas is None else ""
    return GroupQuery(
        _text(given, "type"), _text(given, "attr"), from_us, until_us, by, areas, width_us
    )


def groups_doc(found: Mapping[str, list[Bucket]]) -> dict[str, Any]:
    """Columns rather than objects: there are many buckets."""
    return {
        "columns": ["start", "count", "mean", "least", "most", "total"],
        "groups": {
            group: [
                (format_us(b.start_us), b.count, b.mean, b.minimum, b.maximum, b.total)
                for b in buckets
            ]
            for group, buckets in found.items()
        },
    }


def _text(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    if not 1 <= len(text) <= NAME_CHARS_MAX:
        raise Invalid(f"{name} is missing or too long")
    return text
