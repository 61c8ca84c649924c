# SPDX-License-Identifier: EUPL-1.2
"""Classes of attack on permits: purposes, policy, identifiers, ciphertext, timing, races."""

import asyncio
import random
import sqlite3
import string
import time
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
from tests.walls.city import V1, App, city
from tests.walls.test_consents import FENNA, LOTTE, person, subject_in

from poorter.city.clock import ManualClock
from poorter.city.errors import Invalid
from poorter.gate.bundle import Bundle, from_doc, make_bundle, to_doc
from poorter.gate.genesis import RUN
from poorter.identity.keys import KeyPair
from poorter.running import open_city
from poorter.server import make_app

assert sqlite3  # the file is looked at as any thief would

LOOK_ALIKES = (
    *("", " ", "*", "home-care ", " home-care", "Home-care", "HOME-CARE", "home_care", "homecare"),
    *(
        "home-care\t",
        "home-care,care-planning",
        "home-care;care-planning",
        "home-care/",
        "home-car",
    ),
    *("home%2dcare", "home-care\x00", "internal", "run", "open-data", "care-research", "null"),
    *("h\xf6me-care", "home\xadcare", "home-care#", "home-care?x", '"home-care"', "[home-care]"),
)


async def raw(app: Any, headers: list[tuple[bytes, bytes]], path: str) -> int:
    """The status of a request whose headers are exactly these, doubled ones too."""
    told: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"type=Client",
        "headers": headers,
        "client": ("192.0.2.7", 1),
        "scheme": "http",
    }
    await app(scope, receive, send)
    return told[0]


def test_a_purpose_that_is_not_exactly_the_keys_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            app = make_app(c.running)
            path = f"{V1}/entities"
            key = c.apps["home-care"].headers["authorization"].encode()
            other = c.apps["debt-help"].headers["authorization"].encode()
            mine = [(b"authorization", key)]
            assert await raw(app, mine, path) == 200
            assert await raw(app, [*mine, (b"poorter-purpose", b"home-care")], path) == 200
            for wrong in LOOK_ALIKES:
                given = (b"poorter-purpose", wrong.encode("latin-1"))
                assert await raw(app, [*mine, given], path) == 403, wrong
                doubled = [*mine, (b"poorter-purpose", b"home-care"), given]
                assert await raw(app, doubled, path) == 403, wrong
                assert await raw(app, doubled[::-1], path) == 403, wrong
            twice = (b"poorter-purpose", b"home-care")
            assert await raw(app, [*mine, twice, twice], path) == 403
            for keys in ([key, other], [other, key], [key, key]):
                doubled = [(b"authorization", one) for one in keys]
                assert await raw(app, doubled, path) == 401
            for scheme in (b"Basic ", b"bearer\t", b"Bearer  ", b"Token ", b""):
                status = await raw(app, [(b"authorization", scheme + b"x")], path)
                assert status in (400, 401), scheme

    asyncio.run(run())


def test_a_policy_that_is_older_half_signed_or_anothers_is_no_policy(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            config = c.running.config
            held = c.running.gate.policy
            own = c.running.gate.permit("internal:policy", RUN, "read")
            newest = c.running.store.record(own, "bundle", "current").doc
            older = c.running.store.record(own, "bundle", f"v{held.version - 1:08d}").doc
            await c.running.registry.put(
                [], "ada", "one version more, so that the file's copy is older"
            )
        stranger = KeyPair("city/policy", bytes(64), 65)
        true, forged = from_doc(dict(newest)), make_bundle(held, stranger)
        halves = [
            Bundle(true.version, true.policy, true.cedar, (true.signatures[0], b"")),
            Bundle(true.version, true.policy, true.cedar, (b"", true.signatures[1])),
            Bundle(
                true.version, true.policy, true.cedar, (true.signatures[0], forged.signatures[1])
            ),
            Bundle(true.version + 7, true.policy, true.cedar, true.signatures),
            forged,
        ]
        replaced = [to_doc(one) for one in halves] + [dict(newest), dict(older)]
        file = str(config.paths_data / "city.db")
        for doc in replaced:
            import msgspec

            thief = apsw.Connection(file)
            thief.execute(
                "UPDATE record SET doc = ? WHERE kind = 'bundle' AND id = 'current'",
                (msgspec.json.encode(doc),),
            )
            thief.close()
            with pytest.raises(Invalid, match=r"signed|not above|damaged"):
                await open_city(config, ManualClock())

    asyncio.run(run())


def test_ids_that_were_guessed_bent_or_seen_elsewhere_lead_to_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            (other,) = await research.ids("Client")
            (row,) = c.running.people.erasing.rows_of(subject_in(c)("care"))
            dice = random.Random(1)
            letters = string.ascii_lowercase + "234567"
            head, tail = urn.rsplit(":", 1)
            bent = [f"{head}:{''.join(dice.choices(letters, k=52))}" for _ in range(150)]
            bent += [f"{head}:{tail[:n]}{dice.choice(letters)}{tail[n + 1 :]}" for n in range(52)]
            bent += [f"{head}:{tail[:-1]}{letter}" for letter in letters]
            bent += [f"urn:ngsi-ld:Visit:{tail}", f"{head}:{tail.upper()}", f"{urn}:", row.urn]
            bent += [other, f"{head}:{other.rsplit(':', 1)[1]}"]
            absent = (await care.get(f"{V1}/entities/{head}:nothing")).json()
            absent.pop("detail")
            for guess in bent:
                if guess == urn:
                    continue
                answer = await care.get(f"{V1}/entities/{guess}")
                assert answer.status_code == 404, guess
                body = answer.json()
                body.pop("detail")
                assert body == absent
                if guess.rsplit(":", 1)[1] != tail:
                    for method in ("delete", "patch"):
                        changed = await care.client.request(
                            method, f"{V1}/entities/{guess}", json={}, headers=care.headers
                        )
                        assert changed.status_code == 404, (method, guess)
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 200

    asyncio.run(run())


def test_values_laid_in_another_row_open_to_nothing(tmp_path: Path) -> None:
    """A thief with the database swaps rows: ciphertext belongs to its row, name and moment."""

    async def run() -> None:
        clock = ManualClock()
        async with city(tmp_path, clock) as c:
            care = c.apps["home-care"]
            first = await care.make("Client", resident=FENNA, name="Fenna", secret="red")
            await care.make("Client", resident=FENNA, name="Fenna again", secret="blue")
            await care.make("Client", resident=LOTTE, name="Lotte", secret="green")
            config = c.running.config
            key = care.headers
        thief = apsw.Connection(str(config.paths_data / "city.db"))
        rows = list(
            thief.execute(
                "SELECT a.id, a.body FROM attribute a JOIN name n ON n.id = a.name "
                "WHERE n.name IN ('name', 'secret') ORDER BY a.id"
            )
        )
        assert len(rows) == 6
        bodies = [body for _, body in rows]
        for (row, _), body in zip(rows, bodies[2:] + bodies[:2], strict=True):
            thief.execute("UPDATE attribute SET body = ? WHERE id = ?", (body, row))
        thief.close()
        running = await open_city(config, clock)
        try:
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://city") as client:
                from poorter.identity.credentials import new_credential

                credential, secret = new_credential("app:home-care", "home-care")
                running.credentials.replace([credential])
                app = App(client, key | {"authorization": f"Bearer {secret}"})
                got = await app.get(f"{V1}/entities/{first}?options=keyValues")
                assert got.json() == {"id": first, "type": "Client"}
                listed = await app.get(f"{V1}/entities?type=Client&options=keyValues")
                assert not any({"name", "secret"} & set(one) for one in listed.json())
        finally:
            running.close()

    asyncio.run(run())


def test_hidden_and_deleted_take_the_same_time(tmp_path: Path) -> None:
    """Least thread time of many tries: what another purpose hid is no slower to not find."""

    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            await care.make("Client", resident=FENNA, name="Fenna")
            gone = await care.make("Client", resident=LOTTE, name="Lotte")
            shown = await research.ids("Client")
            permit = c.running.gate.permit("app:care-research", "care-research", "read")
            named = {
                e.urn: c.running.store.decode(e).value("name")
                for e in (c.running.store.entity(permit, urn) for urn in shown)
            }
            hidden = next(urn for urn, name in named.items() if name == "Fenna")
            deleted = next(urn for urn, name in named.items() if name == "Lotte")
            await c.running.people.consents.object(person(c), "care-research")
            await care.client.delete(f"{V1}/entities/{gone}", headers=care.headers)
            least: dict[str, float] = {}
            for _ in range(40):
                for urn in (hidden, deleted):
                    began = time.thread_time_ns()
                    answer = await research.get(f"{V1}/entities/{urn}")
                    took = time.thread_time_ns() - began
                    assert answer.status_code == 404
                    least[urn] = min(took, least.get(urn, took))
            ratio = least[hidden] / least[deleted]
            assert 0.5 < ratio < 2, ratio

    asyncio.run(run())


def test_after_withdrawing_no_read_under_way_brings_anything(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            planning, care = c.apps["care-planning"], c.apps["home-care"]
            await care.make("Client", resident=FENNA, name="Fenna")
            for turn in range(5):
                await c.running.people.consents.give(person(c), "care-planning")
                over = asyncio.Event()
                late: list[int] = []

                async def read(over: asyncio.Event = over, late: list[int] = late) -> None:
                    for _ in range(8):
                        after = over.is_set()
                        found = await planning.ids("Client")
                        if after:
                            late.append(len(found))

                readers = [asyncio.create_task(read()) for _ in range(4)]
                await asyncio.sleep(0.01 * turn)
                await c.running.people.consents.withdraw(person(c), "care-planning")
                over.set()
                assert await planning.ids("Client") == []
                await asyncio.gather(*readers)
                assert not any(late)

    asyncio.run(run())


def test_two_at_once_for_one_record_both_end_and_the_last_word_stands(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            consents = c.running.people.consents
            await consents.give(person(c), "care-planning")
            results = await asyncio.gather(
                *(consents.withdraw(person(c), "care-planning") for _ in range(4)),
                *(consents.give(person(c), "care-planning") for _ in range(4)),
            )
            assert all(isinstance(one, str) for one in results)
            kept = {s.purpose.id: s.choice for s in consents.standings(person(c))}
            in_force = c.running.store.rows.rights.covered(
                subject_in(c)("care"), "care-planning", "a", c.running.clock.now_us()
            )
            assert (kept["care-planning"] is not None) == (in_force is not None)

    asyncio.run(run())


def test_nobody_launders_what_they_read_through_a_context(tmp_path: Path) -> None:
    """A @context is kept for everybody, and its words can be anything that its maker read."""

    async def run() -> None:
        async with city(tmp_path) as c:
            care, debts = c.apps["home-care"], c.apps["debt-help"]
            urn = await care.make("Client", resident=FENNA, name="Zanzibarina")
            words = {"@context": {"Zanzibarina": "https://x.example/Zanzibarina"}}
            person_too = {"name": {"value": "Zanzibarina"}, "resident": {"value": LOTTE}}
            selects = {"type": "Query", "entities": [{"type": "Client"}]}
            told = {"endpoint": {"uri": "http://127.0.0.1:1/"}}
            subscribes = {"type": "Subscription", "entities": [{"type": "Client"}]}
            for path, body, status in (
                ("jsonldContexts", {}, 400),
                ("subscriptions", {**subscribes, "notification": told}, 400),
                ("entityOperations/query", selects, 400),
                ("entities", {"id": "urn:x:1", "type": "Client", **person_too}, 201),
            ):
                made = await care.client.post(
                    f"{V1}/{path}",
                    json={**body, **words},
                    headers={**care.headers, "content-type": "application/ld+json"},
                )
                assert made.status_code == status, made.text
            for app in (care, debts, App(c.client, {})):
                listed = (await app.get(f"{V1}/jsonldContexts")).json()
                assert [one for one in listed if "/context-" in one] == []
            assert (await care.get(f"{V1}/entities/{urn}")).status_code == 200

    asyncio.run(run())
