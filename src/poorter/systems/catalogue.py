# SPDX-License-Identifier: EUPL-1.2
"""Finds systems by name, built in or from other packages, and what each adds to the policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.genesis import HISTORY, RUN
from poorter.gate.policy import Dataset, Grant, Part, Policy, Processor
from poorter.systems.shape import API_VERSION, Ask, System

ENTRY_POINTS = "poorter.systems"


def load_systems(names: Iterable[str]) -> tuple[System, ...]:
    """The declared systems. Raises Invalid naming one that is not there or of another version."""
    return tuple(_load(name) for name in names)


def _load(name: str) -> System:
    found = None
    if name.isidentifier() and find_spec(f"poorter.systems.{name}") is not None:
        found = getattr(import_module(f"poorter.systems.{name}"), "SYSTEM", None)
    else:
        for point in entry_points(group=ENTRY_POINTS, name=name):
            found = point.load()
    if not isinstance(found, System):
        raise Invalid(f"there is no system {name!r}: see systems.enabled in city.toml")
    if found.api_version != API_VERSION:
        raise Invalid(f"{name} is made for version {found.api_version} of the extension point")
    declared = {"", *(setting.name for setting in found.settings)}
    for operation in found.operations:
        if not {operation.per_visitor, operation.per_key} <= declared:
            raise Invalid(f"{name}.{operation.name} is limited by a setting that is not declared")
    return found


def settings_of(system: System, given: Mapping[str, Any]) -> dict[str, Any]:
    """What [systems.NAME] in city.toml says, over the declared defaults.

    Raises: Invalid for a setting that the system did not declare, or a value of another type.
    """
    declared = {setting.name: setting for setting in system.settings}
    values = {name: setting.default for name, setting in declared.items()}
    for name, value in given.items():
        if name not in declared:
            raise Invalid(f"there is no setting systems.{system.name}.{name}")
        kind, choices = type(values[name]), declared[name].choices
        if type(value) is not kind:
            raise Invalid(f"systems.{system.name}.{name} must be of type {kind.__name__}")
        if choices and value not in choices:
            raise Invalid(f"systems.{system.name}.{name} must be one of {', '.join(choices)}")
        values[name] = value
    return values


def policy_parts(
    systems: Iterable[System],
    known: Policy,
    organisation: str,
    approvals: tuple[str, str],
) -> tuple[Part, ...]:
    """Goals without their vote, purposes, datasets, processors, and the grants as approved.

    What a system asks of a dataset that this city does not have is left out: it comes when the
    system that makes it does.
    """
    systems = tuple(systems)
    datasets = {*known.datasets, *(d.id for system in systems for d in system.datasets)}
    parts: list[Part] = []
    for system in systems:
        title = Text(f"Systeem: {system.title.nl}", f"System: {system.title.en}")
        parts += [*system.goals, *system.purposes, *system.datasets]
        parts.append(Processor(system.processor, title, organisation))
        parts += [_grant(system, ask, approvals) for ask in system.asks if ask.dataset in datasets]
        parts += [
            _compaction(dataset, approvals) for dataset in system.datasets if _is_open(dataset)
        ]
    return tuple(parts)


def _is_open(dataset: Dataset) -> bool:
    """Whether its history may lie in columns: it is of things and of nobody."""
    personal = dataset.data_class in ("personal", "special")
    return not personal and any(not name.startswith("record:") for name in dataset.types)


def _compaction(dataset: Dataset, approvals: tuple[str, str]) -> Grant:
    grant_id = f"history-{dataset.id}"
    return Grant(grant_id, HISTORY, RUN, dataset.id, ("read", "administer"), approvals)


def _grant(system: System, ask: Ask, approvals: tuple[str, str]) -> Grant:
    who = ask.processor or system.processor
    short = who.partition(":")[2] or who
    grant_id = f"{system.name}.{short}.{ask.purpose}.{ask.dataset}"
    return Grant(grant_id, who, ask.purpose, ask.dataset, ask.actions, approvals)
