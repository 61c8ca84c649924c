# SPDX-License-Identifier: EUPL-1.2
"""What a notification says (CIM 009, 5.3.1, 5.8.6): entities, what they were, what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from poorter.city.entity import VALUE_KEY, Kind
from poorter.city.ids import mint
from poorter.city.time import format_us
from poorter.standards.ngsild.context import CORE_URL, Context, is_core
from poorter.standards.ngsild.decode import NULL
from poorter.standards.ngsild.encode import feature
from poorter.standards.ngsild.form import Form
from poorter.standards.ngsild.linked import Links
from poorter.standards.ngsild.represent import (
    normalised,
    represent,
    simple,
    without_expiry,
)
from poorter.standards.ngsild.subscriptions.matching import Facts, Key
from poorter.standards.ngsild.subscriptions.model import Subscription
from poorter.store.contract import StoredAttribute, StoredEntity

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
LD_JSON = "application/ld+json"
GEO_JSON = "application/geo+json"


def entity_data(sub: Subscription, facts: Facts, at_us: int, links: Links) -> list[dict[str, Any]]:
    """The entity of a change, with linked ones behind it where they are asked for flat."""
    form = sub.form
    if facts.after is None:
        return [_gone(sub, facts, at_us)]
    follow = links.follow if form.join == "inline" else None
    doc = represent(facts.after, form, form.pick, form.omit, follow)
    for name in dict.fromkeys(name for name, _ in facts.deleted):
        if shown(sub, name):
            doc[form.context.compact(name)] = _with_deleted(sub, facts, name, at_us)
    if sub.show_changes:
        for key in facts.updated:
            if shown(sub, key[0]):
                was = normalised(_decode(facts.old[key].body), form.context)
                add_previous(doc, key, was, form.context)
    more = links.flat((facts.after,), form) if form.join == "flat" else []
    return [doc, *more]


def whole_data(
    sub: Subscription, entities: tuple[StoredEntity, ...], links: Links
) -> list[dict[str, Any]]:
    """Entities as they are, for a notification by time."""
    form = sub.form
    follow = links.follow if form.join == "inline" else None
    docs = [represent(entity, form, form.pick, form.omit, follow) for entity in entities]
    return docs + (links.flat(entities, form) if form.join == "flat" else [])


def notification(
    sub: Subscription,
    data: list[dict[str, Any]],
    at_us: int,
    kind: str = "Notification",
    context_url: str = "",
) -> dict[str, Any]:
    """The message around the data, @context inside where JSON-LD is asked for; a core @context as
    the subscriber named it, whatever its version."""
    accept = sub.endpoint.accept
    shown: Any = data
    if accept == GEO_JSON:
        features = [feature(doc, _place(doc, sub.form)) for doc in data]
        shown = {"type": "FeatureCollection", "features": features}
    message: dict[str, Any] = {
        "id": mint("urn:ngsi-ld:Notification:"),
        "type": kind,
        "subscriptionId": sub.id,
        "notifiedAt": format_us(at_us),
        "data": shown,
    }
    if accept == LD_JSON:
        source = context_url if is_core(context_url) else sub.form.context.source
        message["data"] = [{**doc, "@context": source} for doc in data]
        message["@context"] = source
    return message


def _place(doc: dict[str, Any], form: Form) -> Any:
    found = doc.get(form.context.compact("location"))
    if form.simplified or not isinstance(found, dict):
        return found if isinstance(found, dict) and "coordinates" in found else None
    return found.get("value", found if "coordinates" in found else None)


def context_link(sub: Subscription, context_url: str) -> str | None:
    """The Link header of a message that does not carry its @context."""
    if sub.endpoint.accept == LD_JSON:
        return None
    url = context_url or CORE_URL
    return f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'


def shown(sub: Subscription, name: str) -> bool:
    """Whether a subscriber wants to see an attribute."""
    form = sub.form
    if form.only is not None and name not in form.only:
        return False
    if form.pick is not None and name not in form.pick:
        return False
    return form.omit is None or name not in form.omit


def _gone(sub: Subscription, facts: Facts, at_us: int) -> dict[str, Any]:
    """An entity that was deleted: when, and with showChanges or watched attributes what it had."""
    entity = facts.entity
    bare = msgspec.structs.replace(entity, attributes=())
    doc = represent(bare, replace(sub.form, join=None), sub.form.pick, sub.form.omit)
    doc["deletedAt"] = format_us(at_us)
    asked = "attributeDeleted" in sub.triggers and sub.watched
    if sub.show_changes or asked:
        names = dict.fromkeys(a.name for a in entity.attributes if shown(sub, a.name))
        for name in names:
            if sub.show_changes or name in sub.watched:
                doc[sub.form.context.compact(name)] = _with_deleted(sub, facts, name, at_us)
    return doc


def _with_deleted(sub: Subscription, facts: Facts, name: str, at_us: int) -> Any:
    """All instances of an attribute that lost at least one: NGSI-LD Null stands for those."""
    form = sub.form
    gone = [(key, facts.old[key]) for key in facts.old if key in facts.deleted and key[0] == name]
    left = [a for a in facts.after.attributes if a.name == name] if facts.after else []
    if form.simplified:
        if not left:
            return NULL
        values = {a.dataset_id or "@none": _simple(a, form) for a in left}
        return {"dataset": values | {key[1] or "@none": NULL for key, _ in gone}}
    if not left:  # nothing of it is left: that is said once, whatever instances there were
        gone = [one for one in gone if one[0][1] is None] or gone[:1]
    docs = [normalised(_decode(a.body), form.context) for a in left]
    docs = docs if form.times else [without_expiry(doc) for doc in docs]
    docs += [_deleted(attribute, sub, at_us) for _, attribute in gone]
    return docs[0] if len(docs) == 1 else docs


def _simple(attribute: StoredAttribute, form: Form) -> Any:
    return simple(normalised(_decode(attribute.body), form.context))


def _deleted(attribute: StoredAttribute, sub: Subscription, at_us: int) -> dict[str, Any]:
    was = normalised(_decode(attribute.body), sub.form.context)
    kind = was["type"]
    key = VALUE_KEY[kind]
    doc: dict[str, Any] = {"type": kind, key: _null(kind)}
    if attribute.dataset_id is not None:
        doc["datasetId"] = attribute.dataset_id
    if sub.form.times:
        doc["createdAt"] = format_us(attribute.created_at_us)
        doc["modifiedAt"] = format_us(attribute.modified_at_us)
        doc["deletedAt"] = format_us(at_us)
    if sub.show_changes:
        doc[previous(key)] = was[key]
    return doc


def _null(kind: str) -> Any:
    if kind == "LanguageProperty":
        return {"@none": NULL}
    return [NULL] if kind in ("ListProperty", "ListRelationship") else NULL


def previous(key: str) -> str:
    """The member that says what `key` was before."""
    return "previous" + key[0].upper() + key[1:]


def lost_data(
    sub: Subscription, kind: Kind, dataset: str | None, was: Mapping[str, Any] | None
) -> Any:
    """An attribute that is gone at a source: NGSI-LD Null, and with showChanges what it was."""
    if sub.form.simplified:
        return NULL
    key = VALUE_KEY[kind]
    doc: dict[str, Any] = {"type": kind, key: _null(kind)}
    if dataset is not None:
        doc["datasetId"] = dataset
    if sub.show_changes and was is not None and key in was:
        doc[previous(key)] = was[key]
    return doc


def add_previous(doc: dict[str, Any], key: Key, was: Mapping[str, Any], context: Context) -> None:
    """previousValue and its like beside the new one (5.2.5). `was`: in normalised form."""
    name, dataset = key
    found = doc.get(context.compact(name))
    instances = found if isinstance(found, list) else [found]
    value_key = VALUE_KEY[was["type"]]
    for instance in instances:
        if isinstance(instance, dict) and instance.get("datasetId") == dataset:
            instance[previous(value_key)] = was[value_key]
