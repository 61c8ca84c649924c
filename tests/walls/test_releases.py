# SPDX-License-Identifier: EUPL-1.2
"""Figures leave a wall by a release: granted, of those who didn't object, noisy once, stored."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.founded import OFFICERS
from tests.walls.city import V1, City, T, city
from tests.walls.test_consents import FENNA, person

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, Invalid
from poorter.gate.lawful import RELEASE
from poorter.gate.policy import Grant, Purpose
from poorter.rights.releases import Plan
from poorter.store.contract import Change, Create

PLAN = Plan("clients-by-area", "figures", "clients", "Client", ("district",), "home", "2026")


async def people(c: City, number: int) -> None:
    write = c.running.gate.permit("app:home-care", "home-care", "write")
    ops = []
    for n in range(number):
        who = FENNA if n == 0 else f"urn:p:{n}"
        values = {"resident": who, "district": f"d{n % 3}", "home": f"h{n}", "name": f"N{n}"}
        attributes = tuple(Attribute(name, value) for name, value in values.items())
        ops.append(Create(Entity(f"urn:c:{n}", ("Client",), attributes)))
    await c.running.store.commit_async(write, Change(tuple(ops)))


async def granted(c: City) -> None:
    more = {"art6": "e", "art9": "j", "assessment": "dpia", "compatible_with": ("home-care",)}
    why = Purpose("figures", "people", T, "CBS-wet", "Onderzoek", **more)  # type: ignore[arg-type]
    grant = Grant("rel", RELEASE, "figures", "clients", ("read",), OFFICERS)
    await c.running.registry.put([why, grant], "ada", "figures")


def test_a_release_is_granted_drawn_once_and_public(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await people(c, 60)
            releases = c.running.people.releases
            with pytest.raises(Denied):
                await releases.publish(PLAN, ("ada", "bob"))
            await granted(c)
            first = await releases.publish(PLAN, ("ada", "bob"))
            assert len(first) == 3
            assert all(abs(value - 20) < 25 for value in first)
            assert await releases.publish(PLAN, ("ada", "bob")) == first, "drawn once"
            with pytest.raises(Conflict):
                await releases.publish(replace(PLAN, areas=("name",)), ("ada", "bob"))
            told = await c.client.get(f"{V1}/entities?type=ReleasedFigure&options=keyValues")
            assert sorted(one["persons"] for one in told.json()) == sorted(first)
            assert "N1" not in told.text
            standing = {s.purpose.id for s in c.running.people.consents.standings(person(c))}
            assert "figures" in standing, "one can object to being counted"

    asyncio.run(run())


def test_small_groups_and_spent_budgets_give_no_figure(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await granted(c)
            await people(c, 9)
            releases = c.running.people.releases
            with pytest.raises(Invalid, match="too few"):
                await releases.publish(PLAN, ("ada", "bob"))
            later = replace(PLAN, period="2027")
            await people(c, 60)
            for n in range(5):
                await releases.publish(replace(later, name=f"f{n}"), ("ada", "bob"))
            with pytest.raises(Invalid, match="enough figures"):
                await releases.publish(replace(later, name="f9"), ("ada", "bob"))

    asyncio.run(run())


def test_who_objects_is_not_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await granted(c)
            await people(c, 12)
            await c.running.people.consents.object(person(c), "figures")
            permit = c.running.gate.permit(RELEASE, "figures", "read")
            counted = c.running.people.releases._rows(permit, PLAN)
            assert len(counted) == 11

    asyncio.run(run())
