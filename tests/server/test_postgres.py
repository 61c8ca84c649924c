# SPDX-License-Identifier: EUPL-1.2
"""A whole city over PostgreSQL: founded, served, its database stopped under it, found again."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.database import Database, database
from tests.served import SRC, Served, make_city

from poorter.config import read_config, write_config

LD = {"content-type": "application/ld+json"}


def entity(number: int) -> dict[str, object]:
    return {
        "id": f"urn:ngsi-ld:City:{number}",
        "type": "City",
        "n": {"type": "Property", "value": number},
        "location": {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": [5 + number / 1000, 52.1]},
        },
        "@context": ["https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.8.jsonld"],
    }


def test_a_city_over_postgresql(tmp_path: Path) -> None:
    with database() as server:
        url = server.new_city()
        folder = tmp_path / "city"
        make_city(folder, store={"store.url": url, "store.owner_url": server.owner_url})
        assert not (folder / "data" / "city.db").exists()
        served = Served(folder)
        served.start()
        try:
            _reads_what_it_wrote(served.url, 0)
            served.kill()
            served.start()
            _reads_what_it_wrote(served.url, 20)
            with httpx.Client(base_url=served.url) as client:
                kept = client.get("/ngsi-ld/v1/entities/urn:ngsi-ld:City:3")
                assert kept.json()["n"]["value"] == 3
            _goes_on_after_its_database_stopped(server, served.url)
        finally:
            served.kill()


def _reads_what_it_wrote(url: str, start: int) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        for number in range(start, start + 20):
            made = client.post("/ngsi-ld/v1/entities", json=entity(number), headers=LD)
            assert made.status_code == 201, made.text
        found = client.get(
            "/ngsi-ld/v1/entities",
            params={
                "type": "City",
                "q": f"n>={start + 5}",
                "georel": "near;maxDistance==900",
                "geometry": "Point",
                "coordinates": f"[{5 + (start + 10) / 1000},52.1]",
                "options": "keyValues",
            },
        )
        assert found.status_code == 200, found.text
        assert sorted(one["n"] for one in found.json()) == list(range(start + 5, start + 20))[:18]


def _goes_on_after_its_database_stopped(server: Database, url: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as client:
        server.stop("immediate")
        refused = client.post("/ngsi-ld/v1/entities", json=entity(900), headers=LD)
        assert refused.status_code == 503, refused.text
        assert "127.0.0.1" not in refused.text
        server.start()
        for _ in range(3):  # the first may find links that broke
            made = client.post("/ngsi-ld/v1/entities", json=entity(901), headers=LD)
            if made.status_code == 201:
                break
        assert made.status_code == 201, made.text
        assert client.get("/ngsi-ld/v1/entities/urn:ngsi-ld:City:7").status_code == 200
        assert client.get("/ngsi-ld/v1/entities/urn:ngsi-ld:City:900").status_code == 404


def test_without_psycopg_it_is_said_what_to_install(tmp_path: Path) -> None:
    folder = tmp_path / "city"
    make_city(folder)
    settings = {"store.url": "postgresql://a@127.0.0.1/b", "city.id": read_config(folder).city_id}
    write_config(folder, settings)
    said = _serve_without_psycopg(folder)
    assert "install poorter[postgres]" in said


def test_a_password_in_the_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="PGPASSWORD"):
        make_city(tmp_path / "city", store={"store.url": "postgresql://a:geheim@127.0.0.1/b"})


def _serve_without_psycopg(folder: Path) -> str:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from poorter.cli import main\n"
        f"sys.exit(main(['serve', '--city', {str(folder)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        timeout=30,
    )
    assert done.returncode == 1
    return done.stderr.decode()
