# SPDX-License-Identifier: EUPL-1.2
"""Figures leave a wall by a release: granted, of those who didn't object, noisy once, stored."""

import asyncio
import base64
import secrets
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.founded import OFFICERS
from tests.walls.city import V1, City, T, city
from tests.walls.test_consents import FENNA, person

from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Conflict, Denied, Invalid
from poorter.gate.atoms import Bounds, Lattice, Seen, noisy_sums
from poorter.gate.lawful import RELEASE
from poorter.gate.policy import Grant, Purpose
from poorter.identity.keys import read_ring
from poorter.rights.releases import RHO, Plan, figures_of, text_of
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
            counted = c.running.people.releases.rows(permit, PLAN.type)
            assert len(counted) == 11

    asyncio.run(run())


MEASURED = replace(PLAN, name="debt", measure="euro", low="0", high="1000", step="10")


def test_sums_and_means_are_bounded_per_person_noisy_and_signed(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            await granted(c)
            write = c.running.gate.permit("app:home-care", "home-care", "write")
            ops = []
            for n in range(600):
                # one of them owes more than all others together, in many rows
                owed = {"euro": 10**9 if n == 0 else 400}
                values = {"resident": f"urn:p:{n}", "district": f"d{n % 2}", "home": f"h{n}"}
                attributes = [Attribute(name, value) for name, value in (values | owed).items()]
                ops.append(Create(Entity(f"urn:c:{n}", ("Client",), tuple(attributes))))
            for start in range(0, 600, 200):
                await c.running.store.commit_async(write, Change(tuple(ops[start : start + 200])))
            releases = c.running.people.releases
            for wrong in ({"low": "5", "high": "5"}, {"step": "0"}, {"high": "x"}, {"step": "-1"}):
                with pytest.raises(Invalid, match="low, high and step"):
                    await releases.publish(replace(MEASURED, **wrong), ("ada", "bob"))
            await releases.publish(MEASURED, ("ada", "bob"))
            with pytest.raises(Conflict, match="divided by district"):
                other = replace(MEASURED, name="other", areas=("home",))
                await releases.publish(other, ("ada", "bob"))
            (signed,) = releases.published()
            said = signed["figure"]
            deviation = said["deviation"]["total"]
            for atom in said["atoms"]:
                true = 300 * 400 + (600 if "d0" in atom["cells"][0] else 0)
                assert abs(atom["total"] - true) < 6 * deviation
                assert 380 < atom["mean"] < 450
            ring = read_ring(c.running.config.paths_keys)
            (key,) = [e.public() for e in ring if e.use == "policy" and e.until_us is None]
            pair = base64.b64decode(signed["ed25519"]), base64.b64decode(signed["mldsa65"])
            assert key.verify(pair, text_of(said))
            bent = {**said, "smallest_group": 2}
            assert not key.verify(pair, text_of(bent))
            spent = releases.spent("clients", "2026")
            assert spent == 2 * RHO
            told = await c.client.get(f"{V1}/entities?type=ReleasedFigure&options=keyValues")
            assert {one["total"] for one in told.json()} == {a["total"] for a in said["atoms"]}

    asyncio.run(run())


def test_what_is_not_known_is_in_no_figure_and_few_give_no_sum() -> None:
    lattice = Lattice(10, ((("a",),), (("b",),)))
    bounds = Bounds(Fraction(-5), Fraction(5), Fraction(1))
    a, b = figures_of(lattice, [12, 9], bounds, [24, 18])
    assert (a.persons, a.total, a.mean) == (12, 24.0, 2.0)
    assert (b.persons, b.total, b.mean) == (9, None, None)
    seen = [Seen(("a",), f"p{n}", f"h{n}", 2.4) for n in range(40)]
    seen += [Seen(("a",), "p0", "h0", 100.0), Seen(("b",), "p0", "h0", -100.0)]
    exact = noisy_sums(lattice, seen, bounds, Fraction(10**12), secrets.randbelow)
    assert exact == [39 * 2 + 5, 0], "in one atom, once, within the bounds"
