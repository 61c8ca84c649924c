# SPDX-License-Identifier: EUPL-1.2
"""Finds systems by name, built in or from other packages, and what each adds to the policy."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec

from poorter.city.errors import Invalid
from poorter.city.text import Text
from poorter.gate.policy import Grant, Part, Processor
from poorter.systems.shape import API_VERSION, System

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
    return found


def policy_parts(system: System, organisation: str, approvals: tuple[str, str]) -> tuple[Part, ...]:
    """Goals without their vote, purposes, datasets, the processor, and the grants as approved."""
    title = Text(f"Systeem: {system.title.nl}", f"System: {system.title.en}")
    grants = []
    for ask in system.asks:
        who = ask.processor or system.processor
        short = who.partition(":")[2] or who
        grant_id = f"{system.name}.{short}.{ask.purpose}.{ask.dataset}"
        grants.append(Grant(grant_id, who, ask.purpose, ask.dataset, ask.actions, approvals))
    processor = Processor(system.processor, title, organisation)
    return (*system.goals, *system.purposes, *system.datasets, processor, *grants)
