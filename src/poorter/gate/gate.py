# SPDX-License-Identifier: EUPL-1.2
"""The gate: one lookup a request, a lease of at most a second, a new policy by one assignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from poorter.city.clock import Clock
from poorter.city.errors import Denied, Invalid, Unavailable
from poorter.city.limits import PERMIT_LEASE_US
from poorter.city.time import DAY_US
from poorter.gate.compile import FOREVER_US, Interval, Table
from poorter.gate.permit import LEASE_ENDED, Action, Permit, TypeRule, Wall
from poorter.gate.policy import Dataset, Grant, Policy, Purpose
from poorter.gate.rights import GLASS

Entry = tuple[Interval, Dataset]
DENIED_KEYS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Compiled:
    """A policy with its table, arranged by what a request brings: processor, purpose, action."""

    policy: Policy
    table: Table
    entries: dict[tuple[str, str, str], tuple[Entry, ...]]


@dataclass(frozen=True, slots=True)
class _Lease:
    """A permit, and when the next one to ask gets a new one."""

    permit: Permit
    renew_at_us: int


def arrange(policy: Policy, table: Table) -> Compiled:
    """Arrange a table for lookup. Raises Invalid when the table names what the policy lacks."""
    entries: dict[tuple[str, str, str], list[Entry]] = {}
    for (processor, purpose, dataset, action), intervals in table.intervals.items():
        if dataset not in policy.datasets or purpose not in policy.purposes:
            raise Invalid(f"the table names {dataset} for {purpose}, the policy does not")
        for interval in intervals:
            key = (processor, purpose, action)
            entries.setdefault(key, []).append((interval, policy.datasets[dataset]))
    return Compiled(policy, table, {key: tuple(found) for key, found in entries.items()})


class Gate:
    """Answers who may do what, for which purpose, now."""

    def __init__(self, compiled: Compiled, clock: Clock) -> None:
        self._compiled = compiled
        self._clock = clock
        self._leases: dict[tuple[str, str, str], _Lease] = {}
        self._listeners: list[Callable[[], None]] = []
        self._denied: dict[tuple[str, str, str], int] = {}
        #: whether uses can be recorded: while they can't, nothing personal leaves (rule 2)
        self.recording: Callable[[], bool] = lambda: True

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._compiled.policy

    def permit(self, processor: str, purpose: str, action: Action) -> Permit:
        """The permit for a request.

        Raises: Denied, always in the same words; Unavailable for personal data while no use of it
        can be recorded.
        """
        key = (processor, purpose, action)
        now_us = self._clock.now_us()
        lease = self._leases.get(key)
        if lease is None or now_us >= lease.renew_at_us or now_us < lease.permit.valid_from_us:
            lease = self._lease(key, action, now_us)
        return lease.permit

    def renewed(self, permit: Permit) -> Permit:
        """The same permit with a new lease, for what had to wait longer than the old one ran.

        Raises: Denied without a grant; Unavailable where it would stand on other grants than then,
        or on another policy.
        """
        fresh = self.permit(permit.processor, permit.purpose, permit.action)
        if (fresh.policy_version, fresh.grants) != (permit.policy_version, permit.grants):
            raise Unavailable(LEASE_ENDED, retry_after_s=1)
        return replace(permit, valid_until_us=fresh.valid_until_us)

    def swap(self, compiled: Compiled) -> None:
        """A new policy, at once for every new request; leases that run end within a second.

        Raises: Invalid when its version is not higher: an old policy can't be played back.
        """
        if compiled.policy.version <= self.policy.version:
            raise Invalid(
                f"policy version {compiled.policy.version} is not above {self.policy.version}"
            )
        self._compiled = compiled
        self._leases = {}
        for listener in tuple(self._listeners):
            listener()

    def on_swap(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each new policy: streams and automatic mandates look again."""
        self._listeners.append(listener)

    def take_denials(self) -> dict[tuple[str, str, str], int]:
        """How often each (processor, purpose, action) was denied since the last time."""
        denied, self._denied = self._denied, {}
        return denied

    def allows(self, processor: str, purpose: str, action: Action) -> bool:
        """Whether `permit` would give one."""
        try:
            self.permit(processor, purpose, action)
        except (Denied, Unavailable):
            return False
        return True

    def _lease(self, key: tuple[str, str, str], action: Action, now_us: int) -> _Lease:
        compiled = self._compiled
        until_us = now_us + PERMIT_LEASE_US
        datasets = []
        for (start, end), dataset in compiled.entries.get(key, ()):
            if start <= now_us < end:
                datasets.append(dataset)
                until_us = min(until_us, end)
            elif now_us < start:
                until_us = min(until_us, start)
        if not datasets:
            if key not in self._denied and len(self._denied) >= DENIED_KEYS_MAX:
                key = ("", "", "")  # more kinds of denial than a ledger needs: counted together
            self._denied[key] = self._denied.get(key, 0) + 1
            raise Denied
        processor, purpose_id, _ = key
        personal = any(d.data_class in ("personal", "special") for d in datasets)
        outside = not processor.startswith("internal:")
        grants = _grants(compiled.policy, key, now_us)
        vital = personal and _vital(grants, datasets)
        if personal and outside and action == "read" and not vital and not self.recording():
            raise Unavailable("the ledger can't be written now, so personal data can't be read")
        purpose = compiled.policy.purposes[purpose_id]
        obliged = [grant for grant in grants if grant.mask or grant.max_rows is not None]
        until_us = min([until_us, *_bounds(compiled.policy, key, now_us)])
        rules = _masked(merge_rules(datasets, action, purpose), compiled.policy, obliged)
        rows = [grant.max_rows for grant in obliged if grant.max_rows is not None]
        permit = Permit(
            processor=processor,
            purpose=purpose_id,
            action=action,
            rules=rules,
            valid_from_us=now_us,
            valid_until_us=until_us,
            policy_version=compiled.policy.version,
            key=f"{processor}|{purpose_id}|{action}|{compiled.policy.version}",
            legal_basis=purpose.legal_basis,
            personal=personal,
            grants=tuple(grant.id for grant in grants),
            vital=vital,
            walled=any(rule.behind is not None for rule in rules.values()),
            max_rows=min(rows) if rows else None,
        )
        # renewed at half its life, so that a permit just handed out lasts for what it is for
        lease = _Lease(permit, now_us + (until_us - now_us + 1) // 2)
        self._leases[key] = lease
        return lease


def _grants(policy: Policy, key: tuple[str, str, str], now_us: int) -> list[Grant]:
    """The grants that a permit stands on, for the record."""
    return [
        grant
        for grant in policy.grants.values()
        if (grant.processor, grant.purpose) == key[:2]
        and key[2] in grant.actions
        and grant.from_us <= now_us
        and (grant.until_us is None or now_us < grant.until_us)
    ]


def _bounds(policy: Policy, key: tuple[str, str, str], now_us: int) -> Iterable[int]:
    """When what grants oblige to will be another thing."""
    for grant in policy.grants.values():
        ours = (grant.processor, grant.purpose) == key[:2] and key[2] in grant.actions
        if ours and (grant.mask or grant.max_rows is not None):
            ends = FOREVER_US if grant.until_us is None else grant.until_us
            yield from (bound for bound in (grant.from_us, ends) if bound > now_us)


def _vital(grants: Iterable[Grant], datasets: Iterable[Dataset]) -> bool:
    """Whether all that is personal is open by a grant that is vital."""
    open_by = {grant.dataset for grant in grants if grant.vital}
    return all(d.id in open_by for d in datasets if d.data_class in ("personal", "special"))


def merge_rules(
    datasets: Iterable[Dataset], action: Action, purpose: Purpose | None = None
) -> dict[str, TypeRule]:
    """What several datasets together open, per type. A command opens command attributes only."""
    rules: dict[str, TypeRule] = {}
    for dataset in datasets:
        days = [dataset.retention_days, purpose.retention_days if purpose else None]
        kept = [day * DAY_US for day in days if day is not None and dataset.personal]
        if not dataset.personal and dataset.retention_days is not None:
            kept = [dataset.retention_days * DAY_US]
        for name, attributes in dataset.types.items():
            rule = _rule(dataset, name, attributes, action)
            if rule is None:
                continue
            rule = TypeRule(
                rule.attributes,
                rule.without,
                dataset.personal,
                min(kept) if kept else None,
                dataset.id,
                dataset.wall,
                dataset.about,
                _wall(dataset, name, purpose),
            )
            known = rules.get(name)
            rules[name] = rule if known is None else _either(known, rule)
    return rules


def _wall(dataset: Dataset, name: str, purpose: Purpose | None) -> Wall | None:
    if not dataset.personal or name not in dataset.entity_types or purpose is None:
        return None
    basis = "a" if purpose.on_consent else purpose.article6
    if purpose.glass:
        basis = GLASS
    compatible = frozenset((purpose.id, *purpose.compatible_with))
    return Wall(dataset.wall, dataset.about, basis, purpose.from_us, compatible)


def _masked(
    rules: dict[str, TypeRule], policy: Policy, obliged: Iterable[Grant]
) -> dict[str, TypeRule]:
    """The rules with what grants oblige to leave out: the strictest of them counts."""
    for grant in obliged:
        for name in policy.datasets[grant.dataset].types:
            if name in rules and grant.mask:
                rule = rules[name]
                rules[name] = replace(rule, without=rule.without | frozenset(grant.mask))
    return rules


def _rule(
    dataset: Dataset, name: str, attributes: tuple[str, ...], action: Action
) -> TypeRule | None:
    commands = frozenset(dataset.commands)
    if name.startswith("record:"):
        return TypeRule()
    if action == "command":
        return TypeRule(commands) if commands else None
    named = frozenset(attributes) if attributes else None
    return TypeRule(named, commands if action == "write" else frozenset())


def _either(a: TypeRule, b: TypeRule) -> TypeRule:
    attributes = None
    if a.attributes is not None and b.attributes is not None:
        attributes = a.attributes | b.attributes
    kept = [r.retention_us for r in (a, b) if r.retention_us is not None]
    strict = b if b.personal and not a.personal else a
    return TypeRule(
        attributes,
        a.without | b.without,
        a.personal or b.personal,
        min(kept) if kept else None,
        strict.dataset,
        strict.wall,
        strict.about,
        a.behind or b.behind,
    )


def for_update(permit: Permit) -> Permit:
    """The reading side of a write: what a merge must see in order to overwrite the right part.

    It shows exactly what the permit may write, never an answer to the caller.
    """
    permit.check("write", permit.valid_from_us)
    return replace(permit, action="read")


def together(records: Permit, command: Permit) -> Permit:
    """One permit for one transaction that both sends a command and records why.

    The command's own rules stand; of the other permit only records count, so joining the two
    opens no attribute that neither opened.
    """
    kept = {name: rule for name, rule in records.rules.items() if name.startswith("record:")}
    return replace(
        command,
        rules={**command.rules, **kept},
        valid_until_us=min(records.valid_until_us, command.valid_until_us),
    )
