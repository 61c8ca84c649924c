# SPDX-License-Identifier: EUPL-1.2
"""The drill: a backup of a city under load, then kill -9, then back, and verified."""

import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.served import Served, make_city

from poorter.cli import main
from poorter.config import read_config

CITY = "urn:ngsi-ld:City:"
BATCH = "/ngsi-ld/v1/entityOperations/upsert"


def pair(key: int, number: int) -> list[dict[str, object]]:
    """Two entities of one batch, which must say the same."""
    value = {"type": "Property", "value": number}
    return [{"id": f"{CITY}{key}{side}", "type": "City", "n": value} for side in "ab"]


class Load:
    """Threads that write pairs until told to stop; what was acknowledged last, by key."""

    def __init__(self, url: str, threads: int = 4) -> None:
        self.acknowledged = dict.fromkeys(range(threads), 0)
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _write(self, key: int) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                if client.post(BATCH, json=pair(key, number)).status_code in (201, 204):
                    self.acknowledged[key] = number

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def values(url: str, key: int) -> list[int]:
    found = [httpx.get(f"{url}/ngsi-ld/v1/entities/{CITY}{key}{side}").json() for side in "ab"]
    return [one["n"]["value"] for one in found]


def test_a_backup_under_load_comes_back_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, backups = tmp_path / "city", tmp_path / "backups"
    make_city(folder)
    city = Served(folder)
    where = ["--city", str(folder)]
    try:
        city.start()
        load = Load(city.url)
        while min(load.acknowledged.values()) < 20:
            time.sleep(0.01)
        for _ in range(3):
            before = dict(load.acknowledged)
            assert main(["backup", str(backups), *where]) == 0
        while min(load.acknowledged[n] - before[n] for n in before) < 20:
            time.sleep(0.01)
        load.stop()
        note = tmp_path / "note"
        note.write_bytes(httpx.get(f"{city.url}/ledger/checkpoint").content)
        assert main(["restore", str(backups), *where]) == 1, "it is being served"
        assert "in use by process" in capsys.readouterr().err
        city.kill()
        assert main(["restore", str(backups), "--check", *where]) == 0
        assert main(["restore", str(backups), "--known", str(note), *where]) == 0
        said = capsys.readouterr().out
        assert "all signed and in their place" in said
        assert main(["ledger", "verify", "--known", str(note), *where]) == 0
        city.start()
        for key, acknowledged in before.items():
            one, other = values(city.url, key)
            assert one == other
            assert acknowledged <= one < load.acknowledged[key]
        assert httpx.get(f"{city.url}/health").json()["status"] == "up"
    finally:
        city.stop()


def test_the_city_makes_backups_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "city"
    make_city(folder)
    file = folder / "city.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace('folder = ""', 'folder = "../copies"'))
    city = Served(folder)
    try:
        city.start()
        while not list((tmp_path / "copies").glob("2*/backup.json")):
            assert city.process is not None
            assert city.process.poll() is None, city.said()
            time.sleep(0.05)
    finally:
        city.stop()
    assert main(["restore", str(tmp_path / "copies"), "--check", "--city", str(folder)]) == 0
    assert read_config(folder).backup_folder == tmp_path / "copies"
