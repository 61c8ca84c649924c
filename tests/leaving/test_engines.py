# SPDX-License-Identifier: EUPL-1.2
"""From files into PostgreSQL and back, by moving and by leaving: every row is the same."""

import shutil
from pathlib import Path

import httpx
import pytest
from tests.database import Database
from tests.served import Served, make_city

from poorter.cli import main
from poorter.config import read_config
from poorter.gate.genesis import RUN
from poorter.gate.lawful import LEAVER

ENTITIES = "/ngsi-ld/v1/entities"


def fill(city: Served, start: int) -> None:
    for number in range(start, start + 10):
        place = {"type": "Point", "coordinates": [5 + number / 100, 52.1]}
        entity = {
            "id": f"urn:ngsi-ld:City:{number}",
            "type": "City",
            "n": {"type": "Property", "value": number, "observedAt": "2026-01-01T00:00:00Z"},
            "location": {"type": "GeoProperty", "value": place},
        }
        made = httpx.post(f"{city.url}{ENTITIES}", json=entity)
        assert made.status_code == 201, made.text


def numbers(city: Served) -> list[int]:
    near = "georel=near;maxDistance==100000&geometry=Point&coordinates=[5.1,52.1]"
    found = httpx.get(f"{city.url}{ENTITIES}?type=City&q=n>=0&limit=100&{near}").json()
    return sorted(one["n"]["value"] for one in found)


def served(folder: Path, start: int) -> list[int]:
    """What the city says, after ten entities more."""
    city = Served(folder)
    try:
        city.start()
        fill(city, start)
        return numbers(city)
    finally:
        city.stop()


def test_a_city_moves_into_postgresql_and_back(
    tmp_path: Path, server: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "city"
    where = ["--city", str(folder)]
    make_city(folder)
    assert served(folder, 0) == list(range(10))
    url = server.new_city()
    assert main(["migrate", url, "--owner", server.owner_url, *where]) == 0
    said = capsys.readouterr().out
    assert "entity  " in said and "equal" in said
    assert read_config(folder).store_url == url
    assert not (folder / "data" / "city.db").exists()
    assert served(folder, 10) == list(range(20))
    assert main(["ledger", "verify", *where]) == 0
    assert main(["migrate", url, *where]) == 1
    assert "there already" in capsys.readouterr().err
    assert main(["migrate", "files", *where]) == 0
    assert read_config(folder).store_url == ""
    assert served(folder, 20) == list(range(30))
    assert main(["ledger", "verify", *where]) == 0
    assert main(["migrate", url, "--owner", server.owner_url, *where]) == 1
    assert "city in that store already" in capsys.readouterr().err
    assert served(folder, 30) == list(range(40)), "a refused move leaves it where it is"


def test_an_export_of_files_is_imported_into_postgresql(tmp_path: Path, server: Database) -> None:
    folder, new = tmp_path / "city", tmp_path / "new"
    make_city(folder)
    assert served(folder, 0) == list(range(10))
    grant = ["grant", LEAVER, RUN, "everything", "read", "--days", "1"]
    approved = ["--approved-by", "ada", "--approved-by", "bob"]
    assert main([*grant, *approved, "--city", str(folder)]) == 0
    assert main(["export", str(tmp_path / "export"), "--city", str(folder)]) == 0
    shutil.copytree(folder / "keys", new / "keys")
    text = (folder / "city.toml").read_text("utf-8")
    text = text.replace('\nurl = ""', f'\nurl = "{server.new_city()}"')
    text = text.replace('owner_url = ""', f'owner_url = "{server.owner_url}"')
    (new / "city.toml").write_text(text, "utf-8")
    assert main(["import", str(tmp_path / "export"), "--city", str(new)]) == 0
    assert not (new / "data" / "city.db").exists()
    assert served(new, 10) == list(range(20))
