# SPDX-License-Identifier: EUPL-1.2
"""The tutorial, word for word: files are written and commands run as they stand on the page."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
from tests.served import SRC, free_port

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"```(\w+)(?: (\S+))?\n(.*?)```", re.S)


def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "poorter"
    command.parent.mkdir()
    code = "import sys; from poorter.cli import main; sys.exit(main())"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
    command.chmod(0o755)
    port = free_port()
    environment = os.environ | {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(SRC),
        "PORT": str(port),
    }
    said: list[str] = []
    background: list[subprocess.Popen[bytes]] = []
    page = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    try:
        for language, label, text in BLOCK.findall(page):
            if label.startswith("file="):
                (tmp_path / label.removeprefix("file=")).write_text(text)
            elif label == "background":
                arguments = text.replace("$PORT", str(port)).split()
                background.append(subprocess.Popen(arguments, cwd=tmp_path, env=environment))
                wait_for(port)
            else:
                assert language == "sh"
                run = subprocess.run(
                    ["sh", "-e", "-c", text],
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert run.returncode == 0, (text, run.stdout, run.stderr)
                said.append(run.stdout)
    finally:
        for process in background:
            process.terminate()
            process.wait(15)
    everything = "\n".join(said)
    for words in (
        "less-searching is adopted",
        "2 things written, 0 the same as before, 0 cells without a value, 1 refused",
        "4 new readings, 0 known already, 1 cells without a value, 1 refused",
        "0 new readings, 4 known already",
        "there is no such purpose",
        "poorter_",
        "all signed and in their place",
        '"availableSpotNumber":41',
        "proven: leaf 0",
    ):
        assert words in everything, (words, everything)
    assert "-3" in (tmp_path / "mycity" / "counts.rejects.csv").read_text()


def wait_for(port: int) -> None:
    for _ in range(400):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError("the city does not answer")
