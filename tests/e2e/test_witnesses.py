# SPDX-License-Identifier: EUPL-1.2
"""A served city, two witnesses and a mirror, each a process of its own, by the command line."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from tests.served import SRC, Served, free_port, make_city

from poorter.ledger.trust import parse_trust

CODE = "import sys; from poorter.cli import main; sys.exit(main())"


def poorter(*arguments: str) -> str:
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(
        command, check=False, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def witness(folder: Path, port: int, trust: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = ["witness", "run", str(folder), "--trust", str(trust), "--port", str(port)]
    command = [sys.executable, "-c", CODE, *arguments]
    process = subprocess.Popen(command, env={"PYTHONPATH": str(SRC)}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
                break
            except httpx.HTTPError:
                assert process.poll() is None
                time.sleep(0.03)
        yield process
    finally:
        process.terminate()
        process.wait(10)


def test_two_witnesses_cosign_and_a_mirror_copies(tmp_path: Path) -> None:
    city = Served(tmp_path / "city")
    make_city(city.folder)
    logs = tmp_path / "logs.txt"
    logs.write_text(poorter("ledger", "keys", "--city", str(city.folder)))
    lines = logs.read_text().replace("quorum none", "").split("\n")
    ports = [free_port(), free_port()]
    for number, port in enumerate(ports):
        made = poorter(
            *("witness", "make", str(tmp_path / f"w{number}")),
            *("--name", f"w{number}.example", "--url", f"http://127.0.0.1:{port}"),
        )
        lines += made.split("\n")
    policy = "\n".join([*lines, "group both 2 w0-example w1-example", "quorum both"])
    trust = parse_trust(policy)
    (city.folder / "trust.txt").write_text(policy)
    settings = city.folder / "city.toml"
    settings.write_text(settings.read_text().replace('trust = ""', 'trust = "trust.txt"'))
    with ExitStack() as stack:
        running = [
            stack.enter_context(witness(tmp_path / f"w{n}", port, logs))
            for n, port in enumerate(ports)
        ]
        city.start()
        stack.callback(city.stop)
        note = _witnessed(city)
        size = trust.verify(note).checkpoint.size
        receipt = httpx.get(f"{city.url}/ledger/receipt?index=0").text
        assert trust.verify(receipt.partition("\n\n")[2].encode()).quorum
        out = poorter(
            *("ledger", "mirror", "--url", f"{city.url}/ledger"),
            *("--into", str(tmp_path / "copy"), "--trust", str(city.folder / "trust.txt")),
        )
        assert "under a witnessed checkpoint" in out and not out.startswith("0 leaves")
        running[0].terminate()
        running[0].wait(10)
        httpx.get(f"{city.url}/ngsi-ld/v1/types")
        told = ""
        for _ in range(300):
            told = httpx.get(f"{city.url}/health").json()["witnesses"]
            if told != "cosign":
                break
            time.sleep(0.05)
        assert str(ports[0]) in told, "one of two is gone, and the city says so"
        assert trust.verify(httpx.get(f"{city.url}/ledger/witnessed").content).quorum
        assert size >= 1


def _witnessed(city: Served) -> bytes:
    for _ in range(400):
        answer = httpx.get(f"{city.url}/ledger/witnessed")
        if answer.status_code == 200:
            return answer.content
        time.sleep(0.05)
    raise AssertionError("no checkpoint was cosigned")
