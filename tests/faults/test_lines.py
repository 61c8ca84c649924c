# SPDX-License-Identifier: EUPL-1.2
"""Whoever got an answer about a person has left a line about it: also across kill -9, and on a disk
with no room left, where nothing personal is answered at all."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.faults.test_ledger_disk import fill
from tests.people import PURPOSE, name_of, with_people
from tests.served import Served, make_city

from poorter.city.clock import SystemClock
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.identity.credentials import new_credential
from poorter.ledger.lines import read_line
from poorter.running import Running, open_city
from poorter.store.contract import Change, PutRecord

QUERY = "/ngsi-ld/v1/entities?type=BlueBadge"


async def prepare(folder: Path) -> str:
    """One person with a badge, and the key of an app that may read it."""
    running = await open_city(read_config(folder), SystemClock())
    try:
        await with_people(running, [1])
        credential, key = new_credential("app", PURPOSE.id)
        own = running.gate.permit("internal:identity", RUN, "administer")
        record = PutRecord("credential", credential.id, credential.to_doc())
        await running.store.commit_async(own, Change((record,)))
        return key
    finally:
        running.close()


def lines(folder: Path) -> list[str]:
    """The traces of the lines about the person, after the city has stopped."""

    async def read() -> list[str]:
        running = await open_city(read_config(folder), SystemClock())
        try:
            return list(_traces(running))
        finally:
            running.close()

    return asyncio.run(read())


def _traces(running: Running) -> Iterator[str]:
    after = 0
    while True:
        permit = running.gate.permit("internal:ledger", RUN, "read")
        page = running.store.lines(permit, name_of(running, 1), after)
        for line in page:
            _, text = running.recorder.keys.open(line.kept)
            yield read_line(text)["trace_id"]
            after = line.kept.seq
        if len(page) < 1000:
            return


async def reader(url: str, key: str, number: int, answered: set[str]) -> None:
    """Read about the person under a trace of one's own each time, until the city is gone."""
    async with httpx.AsyncClient(timeout=5) as client:
        for n in range(100_000):
            trace = f"{number + 1:08x}{n:024x}"
            headers = {
                "authorization": f"Bearer {key}",
                "traceparent": f"00-{trace}-{1:016x}-01",
            }
            try:
                answer = await client.get(url + QUERY, headers=headers)
            except httpx.HTTPError:
                return
            if answer.status_code == 200 and answer.json():
                answered.add(trace)


def test_no_answer_without_its_line_across_kills(tmp_path: Path) -> None:
    make_city(tmp_path)
    settings = tmp_path / "city.toml"
    settings.write_text(
        settings.read_text().replace("rate_per_second = 50.0", "rate_per_second = 1e6")
    )
    settings.write_text(settings.read_text().replace("rate_burst = 200", "rate_burst = 1000000"))
    key = asyncio.run(prepare(tmp_path))
    city = Served(tmp_path)
    answered: set[str] = set()

    async def storm(run: int, seconds: float) -> None:
        tasks = [
            asyncio.create_task(reader(city.url, key, 8 * run + n, answered)) for n in range(8)
        ]
        await asyncio.sleep(seconds)
        city.kill()
        await asyncio.gather(*tasks)

    try:
        for run in range(3):
            city.start()
            asyncio.run(storm(run, 0.4 + 0.3 * run))
    finally:
        city.stop()
    recorded = lines(tmp_path)
    assert len(answered) > 20
    assert answered <= set(recorded), "an answer left without its line"
    assert len(recorded) == len(set(recorded)), "one line a trace"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB for the city's data, where this machine lets us mount one."""
    folder = tmp_path / "city" / "data"
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as wrong:
        pytest.skip(f"a small file system can't be mounted here (it takes root): {wrong}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_on_a_full_disk_nothing_personal_is_answered(small_disk: Path) -> None:
    folder = small_disk.parent
    make_city(folder)
    key = asyncio.run(prepare(folder))
    city = Served(folder)
    headers = {"authorization": f"Bearer {key}"}
    try:
        city.start()
        assert httpx.get(city.url + QUERY, headers=headers).status_code == 200
        filler = fill(small_disk)
        refused = 0
        for _ in range(40):
            answer = httpx.get(city.url + QUERY, headers=headers)
            refused += answer.status_code == 503
            assert answer.status_code in (200, 503), answer.text
        assert refused, "the disk is full, and still it answers"
        assert httpx.get(f"{city.url}/ngsi-ld/v1/types").status_code == 200, "open data goes on"
        filler.unlink()
        for _ in range(100):
            if httpx.get(city.url + QUERY, headers=headers).status_code == 200:
                break
            time.sleep(0.1)
        else:
            raise AssertionError("it does not recover")
    finally:
        city.stop()
    assert len(lines(folder)) == 1 + (40 - refused) + 1
