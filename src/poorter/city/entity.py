# SPDX-License-Identifier: EUPL-1.2
"""Entities and attributes as NGSI-LD has them (CIM 009, 4.5), with our internal names.

An internal name is the short term where its IRI lies in the default or the core vocabulary, and
the whole IRI otherwise. So requests without a user @context need no expansion at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:

    def value(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """A dataclass that is frozen to the type checker only: to set each field past a class
        that is frozen in deed costs five times what the rest of making one does, and an attribute
        is made for each that is written."""
        return dataclass(slots=slots, unsafe_hash=frozen)


Kind = Literal[
    "Property",
    "GeoProperty",
    "Relationship",
    "LanguageProperty",
    "VocabProperty",
    "JsonProperty",
    "ListProperty",
    "ListRelationship",
]

#: Attribute key of the value, per kind, in the normalised form.
VALUE_KEY: dict[str, str] = {
    "Property": "value",
    "GeoProperty": "value",
    "Relationship": "object",
    "LanguageProperty": "languageMap",
    "VocabProperty": "vocab",
    "JsonProperty": "json",
    "ListProperty": "valueList",
    "ListRelationship": "objectList",
}


#: sub-attributes that are a bare text in every form: what a proof was made over (4.5.2.2)
SEALED_MEMBERS = frozenset(("entityIdSealed", "entityTypeSealed"))


@value(frozen=True, slots=True)
class Attribute:
    """One instance of an attribute: what is said, when it was so, under which datasetId."""

    name: str
    value: Any
    kind: Kind = "Property"
    observed_at_us: int | None = None
    dataset_id: str | None = None
    unit_code: str | None = None
    sub: tuple[Attribute, ...] = ()
    created_at_us: int | None = None
    modified_at_us: int | None = None
    value_type: str | None = None  # what a Property's value is typed as (4.5.2.2)
    object_types: tuple[str, ...] = ()  # entity types that a Relationship leads to (4.5.3.2)
    expires_at_us: int | None = None  # from then on it is not kept any more (4.22)

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes two instances the same one: name and datasetId."""
        return self.name, self.dataset_id


@value(frozen=True, slots=True)
class Entity:
    """A thing in the city. `version` rises by one with each commit that touches it."""

    urn: str
    types: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    scopes: tuple[str, ...] = ()
    version: int = 0
    created_at_us: int | None = None
    modified_at_us: int | None = None
    expires_at_us: int | None = None  # from then on it is not kept any more (4.22)

    @property
    def type(self) -> str:
        """The first, usually the only, type."""
        return self.types[0]

    def get(self, name: str, dataset_id: str | None = None) -> Attribute | None:
        """The attribute instance with this name and datasetId, or None."""
        for attribute in self.attributes:
            if attribute.name == name and attribute.dataset_id == dataset_id:
                return attribute
        return None

    def value(self, name: str) -> Any:
        """The value of the default instance of `name`; None when it is missing."""
        attribute = self.get(name)
        return None if attribute is None else attribute.value

    def geometry(self, name: str = "location") -> dict[str, Any] | None:
        """The GeoJSON geometry of a GeoProperty, checked when it was written; None for anything
        else that may stand under that name."""
        attribute = self.get(name)
        if attribute is None or attribute.kind != "GeoProperty":
            return None
        found: dict[str, Any] = attribute.value
        return found

    def named(self, name: str) -> Iterator[Attribute]:
        """All instances of `name`."""
        return (a for a in self.attributes if a.name == name)


@dataclass(frozen=True, slots=True)
class Observation:
    """One point of an attribute's history. `sequence` tells corrections of one moment apart."""

    urn: str
    name: str
    observed_at_us: int
    value: Any
    received_at_us: int
    sequence: int
    dataset_id: str | None = None
    quality: int = 0
    unit_code: str | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of an attribute in its temporal evolution (CIM 009, 4.5.7). The attribute holds
    `created_at_us` and `modified_at_us` of this instance; `deleted_at_us`: it records a deletion,
    and has no value."""

    attribute: Attribute
    instance_id: str
    deleted_at_us: int | None = None
