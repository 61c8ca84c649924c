# SPDX-License-Identifier: EUPL-1.2
"""What is written about a person leaves its line at every door, and lines join no two purposes."""

import ast
import asyncio
from pathlib import Path
from typing import Any

from tests.walls.city import V1, App, City, city
from tests.walls.test_consents import FENNA, LOTTE, subject_in

import poorter
from poorter.city.entity import Attribute, Entity
from poorter.connections.counting import Counts
from poorter.connections.writing import Parcel, Writing
from poorter.gate.permit import Permit
from poorter.identity.credentials import new_credential
from poorter.store.contract import Reading

SUBJECT = "dpl.core.data_subject_id"
#: who writes what apps send, and puts the lines beside
DOORS = {"handle.py", "connections/writing.py", "standards/ngsild/face.py", "offices/record.py"}
#: who writes under permits of the city itself: records, leaves, the open context
OWN = {
    *("backups/taking.py", "decide/decisions.py", "decide/objection.py", "founding.py", "jobs.py"),
    *("gate/registry.py", "load/run.py", "offices/drafts.py", "offices/federated.py"),
    *("offices/letters.py", "offices/wallet.py", "rights/consents.py", "rights/erasure.py"),
    *("rights/guardians.py", "rights/opening.py", "rights/releases.py", "rights/renaming.py"),
    *("standards/ngsild/contexts.py", "standards/operations/app.py"),
    *("standards/operations/replay.py", "web/staff.py"),
    *("rights/requests.py", "rights/rotating.py", "sim/life.py", "sim/people.py", "sim/town.py"),
}


def number(c: City, resident: str) -> int:
    return c.running.insight.number("care", subject_in(c, resident)("care"))


def client(name: str, number: str, **more: Any) -> dict[str, Any]:
    values = {"resident": number, "name": name, **more}
    body: dict[str, Any] = {n: {"type": "Property", "value": v} for n, v in values.items()}
    return {"id": f"urn:ngsi-ld:Client:{name}", "type": "Client", **body}


def test_a_batch_of_which_one_is_refused_leaves_the_lines_of_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care = c.apps["home-care"]
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            before = number(c, FENNA), number(c, LOTTE)
            batch = [
                {"id": urn, "type": "Client", "name": {"type": "Property", "value": "F"}},
                client("new", LOTTE),
                {"id": "urn:ngsi-ld:Debtor:x", "type": "Debtor", "sum": {"value": 1}},
            ]
            done = await care.post(f"{V1}/entityOperations/upsert", batch)
            assert done.status_code == 207 and len(done.json()["success"]) == 2
            assert (number(c, FENNA), number(c, LOTTE)) == (before[0] + 1, before[1] + 1)
            await c.running.recorder.write_endings()
            subject = subject_in(c, LOTTE)("care")
            assert all(line.ended for line in c.running.insight.all_lines("care", subject))

    asyncio.run(run())


def test_what_comes_by_a_connection_leaves_its_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with city(tmp_path) as c:
            care, running = c.apps["home-care"], c.running
            urn = await care.make("Client", resident=FENNA, name="Fenna")
            before = number(c, FENNA)

            def permits(action: Any) -> Permit:
                return running.gate.permit("app:home-care", "home-care", action)

            writing = Writing(
                running.store,
                permits,
                c.clock,
                Counts(),
                "Client",
                lambda: False,
                running.recorder,
            )
            reading = Reading(urn, "pulse", c.clock.now_us(), 61)
            thing = Entity(urn, ("Client",), (Attribute("name", "Fenna F"),))
            for parcel in (Parcel("d", (reading,)), Parcel("d", thing=thing)):
                assert await asyncio.to_thread(writing.write, [parcel])
            assert number(c, FENNA) == before + 2
            got = (await care.get(f"{V1}/entities/{urn}?options=keyValues")).json()
            assert got["pulse"] == 61 and got["name"] == "Fenna F"

    asyncio.run(run())


def test_every_file_that_commits_is_one_whose_lines_were_thought_of() -> None:
    """A new door goes into the list above, after somebody looked at what it leaves."""
    root = Path(poorter.__file__).parent
    found = set()
    for file in root.rglob("*.py"):
        name = file.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("commit", "commit_async"):
                found |= {name} if "store" in ast.unparse(node.value) else set()
    found = {name for name in found if not name.startswith(("store/", "standards/ngsild/s"))}
    assert found - DOORS - OWN == set()
    for name in DOORS:
        assert "recorder" in (root / name).read_text("utf-8"), name


def test_lines_of_two_purposes_can_t_be_laid_side_by_side(tmp_path: Path) -> None:
    """Apps read their own lines by trace: under names of persons that are their purpose's."""

    async def told(app: App, trace: str) -> list[dict[str, Any]]:
        answer = await app.post("/processing-activities", {"traceId": trace})
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["processingActivities"]
        return found

    async def run() -> None:
        async with city(tmp_path) as c:
            care, research = c.apps["home-care"], c.apps["care-research"]
            await care.make("Client", resident=FENNA, name="Fenna")
            await care.make("Client", resident=LOTTE, name="Lotte")
            credential, key = new_credential("app:home-care", "care-planning")
            known = c.running.credentials._by_digest.copy()
            c.running.credentials.replace([credential])
            c.running.credentials._by_digest |= known
            other = App(c.client, {"authorization": f"Bearer {key}"})
            names = []
            for turn, app in enumerate((care, care, research)):
                trace = f"{turn + 1:032x}"
                header = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
                await app.get(f"{V1}/entities?type=Client", headers=header)
                lines = await told(app, trace)
                names.append({line["attributes"][SUBJECT] for line in lines})
                assert len(names[-1]) == 2
                one = {"traceId": trace, SUBJECT: min(names[-1])}
                only = (await app.post("/processing-activities", one)).json()
                assert len(only["processingActivities"]) == 1
                for stranger in (care, research, c.apps["debt-help"], other):
                    if stranger is not app:  # `other` is the same app for another purpose
                        assert await told(stranger, trace) == []
            assert names[0] == names[1], "one app sees that two lines are about one person"
            assert not names[0] & names[2]
            for resident in (FENNA, LOTTE):
                own = c.running.insight.id_of("care", subject_in(c, resident)("care"))
                assert own not in names[0] | names[2]

    asyncio.run(run())
