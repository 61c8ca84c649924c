# SPDX-License-Identifier: EUPL-1.2
"""A subscription as a source gets it (CIM 009, 5.8.1.4): reduced to what the source registered and
may be told, with this city as the one that is notified. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from poorter.city.query import Selector
from poorter.city.time import format_us
from poorter.standards.ngsild.context import Context
from poorter.standards.ngsild.sources.model import EntityInfo, Information
from poorter.standards.ngsild.sources.sharing import Share
from poorter.standards.ngsild.subscriptions.model import Subscription

#: filters: they go along only where no entity is split (4.3.6.7)
_FILTERS = ("q", "geoQ", "scopeQ", "expandValues", "jsonKeys")
#: goes along as it is
_PLAIN = ("notificationTrigger", "timeInterval", "throttling", "datasetId", "isActive")


def reduced(
    sub: Subscription,
    share: Share,
    parts: Iterable[Information],
    spoken: Context,
    endpoint: str,
    split: bool,
) -> dict[str, Any] | None:
    """The document for a source, in the terms of `spoken`, without an id; None where nothing of
    the subscription is left. `parts`: the information of the source that it is about."""
    entities = _entities(sub.selectors, parts, share.types, spoken)
    watched = sub.watched & share.names if sub.watched and share.names else share.names
    watched = watched or sub.watched
    if sub.watched and share.names and not sub.watched & share.names:
        return None
    if sub.selectors and not entities:
        return None
    filtered = filters_go(sub, spoken, split)
    notified: dict[str, Any] = {
        "endpoint": {"uri": endpoint, "accept": "application/json"},
        "sysAttrs": True,  # which of two instances is newer is told by it (4.5.5)
    }
    if sub.show_changes:
        notified["showChanges"] = True
    shown = _shown(sub, share) if filtered else share.names
    if shown:
        notified["attributes"] = _said(shown, spoken)
    doc: dict[str, Any] = {"type": "Subscription", "notification": notified}
    if entities:
        doc["entities"] = entities
    if watched and sub.every_s is None:
        doc["watchedAttributes"] = _said(watched, spoken)
    doc |= {member: sub.doc[member] for member in _PLAIN if member in sub.doc}
    if filtered:
        doc |= {member: sub.doc[member] for member in _FILTERS if member in sub.doc}
    if "splitEntities" in sub.doc:
        doc["splitEntities"] = sub.doc["splitEntities"]
    if sub.expires_at_us is not None:
        doc["expiresAt"] = format_us(sub.expires_at_us)
    if share.registration.local_only:
        doc["localOnly"] = True
    return doc


def filters_go(sub: Subscription, spoken: Context, split: bool) -> bool:
    """Whether the source applies the filters: else this city does, on what it is told."""
    return not split and (
        spoken is sub.context or not any(member in sub.doc for member in _FILTERS)
    )


def _shown(sub: Subscription, share: Share) -> frozenset[str]:
    """The attributes that the subscriber is shown, of those the source has; none for all."""
    wanted = frozenset(sub.form.only or ())
    if wanted and share.names:
        return wanted & share.names or share.names
    return wanted or share.names


def _said(names: Iterable[str], spoken: Context) -> list[str]:
    return sorted(spoken.compact(name) for name in names)


def _entities(
    selectors: tuple[Selector, ...],
    parts: Iterable[Information],
    types: tuple[str, ...],
    spoken: Context,
) -> list[dict[str, str]]:
    """EntitySelectors (5.2.33) for what the subscription and the registration have in common."""
    found: list[dict[str, str]] = []
    for part in parts:
        for info in part.entities or (EntityInfo(),):
            for asked in selectors or (Selector(),):
                found += _common(asked, info, types, spoken)
    return [one for place, one in enumerate(found) if one not in found[:place]]


def _common(
    asked: Selector, info: EntityInfo, types: tuple[str, ...], spoken: Context
) -> list[dict[str, str]]:
    wanted = list(dict.fromkeys(name for names in asked.type_sets for name in names))
    names = [n for n in info.types if n in wanted] if info.types and wanted else None
    names = names if names is not None else list(info.types) or wanted
    if types:
        names = [name for name in names or types if name in types]
    if (info.types or wanted or types) and not names:
        return []
    kinds = [spoken.compact(name) for name in names] or ["*"]
    ids = [urn for urn in asked.ids if info.covers(urn, None)]
    if asked.ids and not ids:
        return []
    if info.id is not None:
        ids = [info.id]
    pattern = info.pattern or asked.id_pattern  # what the source registered holds; ours is checked
    if ids:
        return [{"type": kind, "id": urn} for kind in kinds for urn in ids]
    if pattern is not None:
        return [{"type": kind, "idPattern": pattern} for kind in kinds]
    return [{"type": kind} for kind in kinds] if kinds != ["*"] else []
