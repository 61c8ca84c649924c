# SPDX-License-Identifier: EUPL-1.2
"""What a newer Poorter needs of a city that was founded before it. Pure.

The platform's own work gets what it needs; nobody else's rights grow by it. Where a dataset that
an app, staff or the public may use would grow, what is new goes into a dataset beside it, which
only the platform's own work is granted; two officers may grant it to others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from poorter.gate.lawful import INTERNAL
from poorter.gate.permit import ANY_TYPE, Action
from poorter.gate.policy import Dataset, Grant, Part, Policy

#: between the id of a dataset and the version of the policy with which what is new in it came
BESIDE = "-from-v"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Forward:
    """`parts` to put into the policy; `waits`: what two officers may grant, in words."""

    parts: tuple[Part, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[str, ...]:
        """What comes, one line each."""
        return tuple(_said(part) for part in self.parts)


def forward(policy: Policy, wanted: Policy, now_us: int) -> Forward:
    """What of `wanted` (the first policy, as this version would write it) is missing in `policy`.

    What officers ended or changed stays as it is.
    """
    datasets = list(_datasets(policy, wanted, now_us))
    known = {**policy.datasets, **{one.id: one for one in datasets}}
    grants: list[Grant] = []
    waits: list[str] = []
    for grant in wanted.grants.values():
        for target in _homes(grant.dataset, known):
            if grant.processor.startswith(INTERNAL):
                grants += _missing(policy, grant, target)
            elif _waits(policy, grant, target, now_us):
                actions = ",".join(grant.actions)
                waits.append(f"{grant.processor} {grant.purpose} {target} {actions}")
    parts: list[Part] = [
        *_absent(policy.goals, wanted.goals),
        *_absent(policy.purposes, wanted.purposes),
        *datasets,
        *_absent(policy.processors, wanted.processors),
        *grants,
    ]
    return Forward(tuple(parts), tuple(waits))


def _absent(known: Mapping[str, T], wanted: Mapping[str, T]) -> Iterator[T]:
    return (part for name, part in wanted.items() if name not in known)


def _datasets(policy: Policy, wanted: Policy, now_us: int) -> Iterator[Dataset]:
    elsewhere = {
        name for dataset in policy.datasets.values() for name in dataset.entity_types
    }  # a city that keeps a type in a dataset of its own goes on doing so
    for dataset in wanted.datasets.values():
        homes = _homes(dataset.id, policy.datasets)
        held = {name for home in homes for name in policy.datasets[home].types}
        lacking = {
            name: attributes
            for name, attributes in dataset.types.items()
            if name not in held and name not in elsewhere and ANY_TYPE not in held
        }
        if not lacking:
            continue
        known = policy.datasets.get(dataset.id)
        if known is None:
            yield replace(dataset, types=lacking)
        elif _grows(policy, known, dataset, lacking, now_us):
            yield replace(known, types={**known.types, **lacking})
        else:
            beside = f"{dataset.id}{BESIDE}{policy.version + 1}"
            yield replace(dataset, id=beside, types=lacking)


def _grows(
    policy: Policy, known: Dataset, wanted: Dataset, lacking: Iterable[str], now_us: int
) -> bool:
    """Whether the dataset itself may grow: the platform's own books, of which nobody else has a
    grant that holds or will."""
    books = all(name.startswith("record:") for name in (*known.types, *lacking))
    same = (known.wall, known.data_class) == (wanted.wall, wanted.data_class)
    return books and same and not any(
        grant.dataset == known.id
        and not grant.processor.startswith(INTERNAL)
        and (grant.until_us is None or now_us < grant.until_us)
        for grant in policy.grants.values()
    )  # fmt: skip


def _homes(dataset: str, known: Mapping[str, Dataset]) -> list[str]:
    """A dataset, and those beside it that came later."""
    begins = dataset + BESIDE
    return [name for name in known if name == dataset or name.startswith(begins)]


def _missing(policy: Policy, grant: Grant, target: str) -> Iterator[Grant]:
    """The grant on `target`, as far as there never was one."""
    had: set[Action] = {
        action
        for other in policy.grants.values()
        if (other.processor, other.purpose, other.dataset)
        == (grant.processor, grant.purpose, target)
        for action in other.actions
    }
    actions = tuple(action for action in grant.actions if action not in had)
    if not actions:
        return
    name = grant.id if target == grant.dataset else f"{grant.id}{target[len(grant.dataset) :]}"
    if name in policy.grants:
        name = f"{name}{BESIDE}{policy.version + 1}"
    yield replace(grant, id=name, dataset=target, actions=actions)


def _waits(policy: Policy, grant: Grant, target: str, now_us: int) -> bool:
    """Whether somebody who may use the dataset, or a version ago didn't exist, lacks this."""
    ours = [
        other
        for other in policy.grants.values()
        if (other.processor, other.purpose) == (grant.processor, grant.purpose)
    ]
    if any(other.dataset == target for other in ours):
        return False
    before = [other for other in ours if other.dataset == grant.dataset]
    return not before or any(o.until_us is None or now_us < o.until_us for o in before)


def _said(part: Part) -> str:
    if isinstance(part, Grant):
        return f"{part.processor} may {', '.join(part.actions)} {part.dataset}"
    if isinstance(part, Dataset):
        return f"dataset {part.id} holds {', '.join(part.types)}"
    return f"{type(part).__name__.lower()} {part.id}"
