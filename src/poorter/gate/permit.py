# SPDX-License-Identifier: EUPL-1.2
"""The gate's answer for one request: what may be read or written, until when.

Only `poorter.gate` makes one (a test holds that). Store functions take one as first argument
and read from it which types and attributes exist at all for this request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from poorter.city.errors import Denied

Action = Literal["read", "write", "command", "decide", "administer"]

#: A type rule under this name holds for every type: for a city that opens all it has.
ANY_TYPE = "*"


@dataclass(frozen=True, slots=True)
class TypeRule:
    """What a permit says of one entity type or record kind.

    `attributes`: those that exist for this request, None for all. `without`: those that do not,
    whatever `attributes` says (command attributes in a write permit). `dataset`, `wall`, and
    `about` (the attribute that says whom an entity is about) are for the record of its use.
    """

    attributes: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    personal: bool = False
    retention_us: int | None = None
    dataset: str = ""
    wall: str = ""
    about: str = ""

    def covers(self, name: str) -> bool:
        """Whether the attribute exists for this request."""
        if name in self.without:
            return False
        return self.attributes is None or name in self.attributes


@dataclass(frozen=True, slots=True)
class Permit:
    """A lease on one (processor, purpose, action): at most a second, then it is asked again.

    `grants`: those it stands on. `vital`: while the ledger can't write, it may use the spool.
    """

    processor: str
    purpose: str
    action: Action
    rules: Mapping[str, TypeRule]
    valid_until_us: int
    policy_version: int
    key: str
    legal_basis: str = ""
    personal: bool = False
    valid_from_us: int = 0
    grants: tuple[str, ...] = ()
    vital: bool = False

    def check(self, action: Action, now_us: int) -> None:
        """Raises Denied unless the permit is for `action` and its lease still runs."""
        if self.action != action or now_us >= self.valid_until_us:
            raise Denied

    def rule(self, type_name: str) -> TypeRule | None:
        """The rule for a type; None means that the type does not exist for this request."""
        rule = self.rules.get(type_name)
        return self.rules.get(ANY_TYPE) if rule is None else rule

    def rule_of(self, types: tuple[str, ...]) -> TypeRule | None:
        """The rule for an entity: that of its first type with one."""
        for name in types:
            rule = self.rule(name)
            if rule is not None:
                return rule
        return None
