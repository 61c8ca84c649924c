# SPDX-License-Identifier: EUPL-1.2
"""Founding a city: settings, keys, two officers, the genesis permit as the first leaf."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from poorter import __version__
from poorter.city.clock import Clock
from poorter.city.errors import Invalid
from poorter.config import FILE, Config, read_config, write_config
from poorter.gate.forward import Forward, forward
from poorter.gate.gate import Gate
from poorter.gate.genesis import RUN, genesis
from poorter.gate.lawful import INTERNAL, check_lawful
from poorter.gate.policy import Grant, Policy, with_parts
from poorter.gate.registry import Registry, found
from poorter.identity.keys import load_key, make_keys
from poorter.identity.passwords import hash_password
from poorter.identity.sessions import ROLES, Officer
from poorter.store.contract import Change, PutRecord
from poorter.store.opening import open_store
from poorter.store.policy import PolicyStore
from poorter.systems.catalogue import load_systems, policy_parts


@dataclass(frozen=True, slots=True)
class Founded:
    """What is shown once: the first officers and their passwords."""

    config: Config
    passwords: Mapping[str, str]


async def found_city(
    folder: Path,
    settings: Mapping[str, Any],
    officers: tuple[str, str],
    body: str,
    clock: Clock,
    passwords: tuple[str, str] | None = None,
) -> Founded:
    """Make a city in `folder`. `body` is the elected body that founds it.

    Raises: Invalid when there is a city already, or the two officers are one and the same.
    """
    if len({name.casefold().strip() for name in officers} - {""}) < 2:
        raise Invalid("two first officers are needed, and they must be two people")
    now_us = clock.now_us()
    config = _lay_out(folder, settings, now_us)
    systems = load_systems(config.systems_enabled)
    date = datetime.fromtimestamp(now_us / 1e6, UTC).date().isoformat()
    store = open_store(config.paths_data, clock, config.store_url, config.store_owner_url)
    try:
        port = PolicyStore(store)
        key = load_key(config.paths_keys, "policy")
        policy = genesis(config.city_id, body, date, officers)
        parts = policy_parts(systems, policy, config.city_id, officers)
        if parts:
            whole = with_parts(policy, parts)
            check_lawful(policy, whole)
            policy = replace(whole, version=1)
        compiled = await found(port, policy, key, clock, f"{officers[0]}, {officers[1]}")
        gate = Gate(compiled, clock)
        chosen = passwords or (secrets.token_urlsafe(12), secrets.token_urlsafe(12))
        ops = tuple(
            PutRecord(
                "officer",
                name,
                Officer(name, "Informatievoorziening", ROLES, hash_password(password)).to_doc(),
                expect=0,
            )
            for name, password in zip(officers, chosen, strict=True)
        )
        permit = gate.permit("internal:identity", RUN, "administer")
        await store.commit_async(permit, Change(ops))
    finally:
        store.close()
    return Founded(config, dict(zip(officers, chosen, strict=True)))


def _lay_out(folder: Path, settings: Mapping[str, Any], now_us: int) -> Config:
    """Folders, city.toml, keys."""
    if (folder / FILE).exists():
        raise Invalid(f"{folder / FILE} is there already")
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, dict(settings))
    config = read_config(folder)
    make_keys(config.paths_keys, config.ledger_origin, now_us)
    config.paths_data.mkdir(parents=True, exist_ok=True)
    return config


async def add_systems(registry: Registry, config: Config, officers: tuple[str, str]) -> list[str]:
    """Bring the policy up to the systems that are enabled; what was voted on stays as it is."""
    policy = registry.policy
    systems = load_systems(config.systems_enabled)
    missing = [
        part
        for part in policy_parts(systems, policy, config.city_id, officers)
        if part.id not in getattr(policy, f"{type(part).__name__.lower()}s")
    ]
    if missing:
        await registry.put(missing, officers[0], "systems enabled")
    return [part.id for part in missing]


async def bring_forward(registry: Registry, config: Config, now_us: int) -> Forward:
    """Give the platform's own work what this version needs and the city was founded without: a
    version of the policy of its own, with its leaf. Whatever would widen the rights of somebody
    else waits for two officers.

    Raises: Invalid when the city has something else under a name that the platform needs.
    """
    release = f"poorter {__version__}"
    wanted = _as_founded_now(registry.policy, config, ("poorter", release))
    found = forward(registry.policy, wanted, now_us)
    if found.parts:
        await registry.put(found.parts, release, "brought forward")
    return found


def _as_founded_now(policy: Policy, config: Config, approvals: tuple[str, str]) -> Policy:
    """The first policy that this version would write, with the platform's own work on what the
    systems of this city brought in."""
    wanted = genesis(config.city_id, "-", "-", approvals)
    parts = policy_parts(load_systems(config.systems_enabled), policy, config.city_id, approvals)
    own = {
        part.id: part
        for part in parts
        if isinstance(part, Grant)
        and part.processor.startswith(INTERNAL)
        and part.dataset in policy.datasets
    }
    return replace(wanted, grants={**wanted.grants, **own})
