# SPDX-License-Identifier: EUPL-1.2
"""The ledger's own disk is full: it says so, personal data stays, nothing is lost, it recovers."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.founded import OFFICERS, founded

from poorter.city.clock import ManualClock
from poorter.city.entity import Entity
from poorter.city.errors import Unavailable
from poorter.city.text import Text
from poorter.gate.policy import Dataset, Grant, Processor, Purpose
from poorter.identity.credentials import new_credential
from poorter.jobs import record_uses
from poorter.ledger.sequencer import Sequencer
from poorter.running import LEDGER_FOLDER, Running
from poorter.server import make_app
from poorter.store.contract import AppendLeaf, Change, Create

V1 = "/ngsi-ld/v1"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own for the ledger, 512 KiB, where this machine lets us mount one."""
    folder = tmp_path / "city" / "data" / LEDGER_FOLDER
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=512k,nr_inodes=1k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as wrong:
        pytest.skip(f"a small file system can't be mounted here (it takes root): {wrong}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (65_536, 4096, 512):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return filler


async def append(running: Running, number: int) -> None:
    permit = running.gate.permit("internal:uses", "run", "administer")
    leaves = tuple(AppendLeaf(f"leaf {n} ".encode() * 20) for n in range(number))
    await running.store.commit_async(permit, Change(leaves))


def test_a_full_ledger_disk_refuses_personal_data_and_recovers(small_disk: Path) -> None:
    async def run() -> None:
        clock = ManualClock()
        async with founded(small_disk.parent.parent, clock) as running:
            people = {"Person": ()}
            care = Dataset(
                "care", Text("Zorg", "Care"), "care", "personal", "x", people, retention_days=30
            )
            words = Text("Zorg", "Care")
            why = Purpose("home-care", "run-the-platform", words, "AVG 6(1)(e)", "x")
            app = Processor("app", words, "city")
            grants = [
                Grant(f"c-{action}", "app", why.id, "care", (action,), OFFICERS)
                for action in ("read", "write")
            ]
            await running.registry.put([care, why, app, *grants], "ada", "a test")
            credential, key = new_credential("app", why.id)
            running.credentials.replace([credential])
            headers = {"authorization": f"Bearer {key}"}
            write = running.gate.permit("app", why.id, "write")
            made = await running.store.commit_async(
                write, Change((Create(Entity("urn:p:1", ("Person",))),))
            )
            (person,) = made.minted.values()
            await record_uses(running)
            before = running.sequencer.checkpoint.size
            filler = fill(small_disk)
            await append(running, 300)
            with pytest.raises(Unavailable, match="can't be written"):
                await record_uses(running)
            clock.forward_s(2)  # leases that were out have ended
            transport = httpx.ASGITransport(app=make_app(running))  # type: ignore[arg-type]
            async with httpx.AsyncClient(
                transport=transport, base_url="http://city", headers=headers
            ) as client:
                refused = await client.get(f"{V1}/entities/{person}")
                assert refused.status_code == 503
                assert "ledger" in refused.json()["detail"]
                health = (await client.get("/health")).json()
                assert health["status"] == "degraded"
                taken_in = {"id": "urn:p:2", "type": "Person"}
                assert (await client.post(f"{V1}/entities", json=taken_in)).status_code == 201
                with pytest.raises(Unavailable):
                    await record_uses(running)  # still full: tried again, still nothing by half
                filler.unlink()
                await record_uses(running)
                clock.forward_s(2)
                assert (await client.get(f"{V1}/entities/{person}")).status_code == 200
                assert (await client.get("/health")).json()["status"] == "up"
            await record_uses(running)
            assert running.sequencer.checkpoint.size >= before + 300
            sequencer = running.sequencer
            again = Sequencer(
                small_disk,
                lambda after, limit: running.store.leaves(
                    running.gate.permit("internal:ledger", "run", "read"), after, limit
                ),
                sequencer._key,
                sequencer._ring,
                clock,
            )
            assert again.checkpoint == sequencer.checkpoint, "the files hold the same tree"

    asyncio.run(run())
