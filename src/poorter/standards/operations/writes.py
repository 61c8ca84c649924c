# SPDX-License-Identifier: EUPL-1.2
"""Writes of a city handle as JSON: compare-and-set and holds, with the entities beside them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from poorter.city.errors import Invalid, TooLarge
from poorter.city.ids import check_uri
from poorter.city.limits import JSON_DEPTH_MAX, URN_CHARS_MAX
from poorter.standards.ngsild.context import CORE
from poorter.standards.ngsild.decode import parse_attributes, parse_entity
from poorter.store import contract as c

OPS_MAX = 100
_Name = Annotated[str, Meta(min_length=1, max_length=URN_CHARS_MAX)]
_Count = Annotated[int, Meta(ge=0, le=2**31)]
_Moment = Annotated[int, Meta(ge=0, le=2**62)]


class Put(msgspec.Struct, tag_field="op", tag="put", forbid_unknown_fields=True):
    """An entity as a whole, new or not, in normalised form."""

    entity: dict[str, Any]

    def to_op(self) -> c.Op:
        """As the store takes it."""
        return c.Put(parse_entity(self.entity, CORE))


class Set(msgspec.Struct, tag_field="op", tag="set", forbid_unknown_fields=True):
    """Attributes of an entity; refused when `expect` is not its version."""

    id: str
    attributes: dict[str, Any]
    expect: _Moment | None = None

    def to_op(self) -> c.Op:
        """As the store takes it."""
        attributes = parse_attributes(self.attributes, CORE)
        return c.SetAttributes(check_uri(self.id), attributes, expect=self.expect)


class Hold(msgspec.Struct, tag_field="op", tag="hold", forbid_unknown_fields=True):
    """One unit of a pool, as long as capacity - taken - what is held leaves one."""

    pool: _Name
    id: _Name
    capacity: _Count
    taken: _Count
    until_us: _Moment

    def to_op(self) -> c.Op:
        """As the store takes it."""
        return c.Hold(self.pool, self.id, 1, self.capacity, self.taken, self.until_us)


class ExtendHold(msgspec.Struct, tag_field="op", tag="extend-hold", forbid_unknown_fields=True):
    """Another end of a running hold."""

    pool: _Name
    id: _Name
    until_us: _Moment

    def to_op(self) -> c.Op:
        """As the store takes it."""
        return c.ExtendHold(self.pool, self.id, self.until_us)


class EndHold(msgspec.Struct, tag_field="op", tag="end-hold", forbid_unknown_fields=True):
    """A unit given back."""

    pool: _Name
    id: _Name

    def to_op(self) -> c.Op:
        """As the store takes it."""
        return c.EndHold(self.pool, self.id)


_decoder = msgspec.json.Decoder(list[Put | Set | Hold | ExtendHold | EndHold])


def parse_ops(raw: bytes) -> list[c.Op]:
    """The writes in a body, in their order. Raises Invalid, TooLarge."""
    try:
        given = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(f"this is no list of writes: {wrong}") from None
    except RecursionError:
        raise TooLarge(f"JSON is nested at most {JSON_DEPTH_MAX} deep") from None
    if not 1 <= len(given) <= OPS_MAX:
        raise Invalid(f"1 to {OPS_MAX} writes go together")
    return [one.to_op() for one in given]
