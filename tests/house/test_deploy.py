# SPDX-License-Identifier: EUPL-1.2
"""The systemd unit and the compose file: what systemd and Compose take, naming what is there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
#: keys of a service in the Compose Specification that this file may use
SERVICE = {
    *("build", "image", "restart", "ports", "volumes", "read_only", "tmpfs", "cap_drop"),
    *("security_opt", "healthcheck", "profiles", "environment", "depends_on", "command"),
}
HEALTH = {"test", "interval", "timeout", "retries", "start_period"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "poorter.service").read_text("utf-8")
    unit = tmp_path / "poorter.service"
    # the program and its user are not on the machine of a test; all else is as it ships
    text = text.replace("/opt/poorter/.venv/bin/poorter", sys.executable)
    unit.write_text(text.replace("User=poorter", "User=root"))
    for lines in ([], ["NoSuchSetting=true"]):
        unit.write_text(unit.read_text().replace("[Install]", "\n".join([*lines, "[Install]"])))
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = [line for line in done.stderr.splitlines() if "poorter.service" in line]
        assert bool(said) == bool(lines), said


def test_the_unit_runs_a_verb_that_there_is() -> None:
    from poorter.cli.parser import build_parser

    text = (DEPLOY / "poorter.service").read_text("utf-8")
    (started,) = re.findall(r"^ExecStart=\S+ (.+)$", text, re.M)
    assert build_parser().parse_args(started.split()).run is not None


def test_the_compose_file_holds_together() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert compose.keys() <= {"services", "volumes", "networks", "name"}
    named = set()
    for name, service in compose["services"].items():
        assert service.keys() <= SERVICE, name
        assert ("image" in service) != ("build" in service), name
        if "build" in service:
            build = service["build"]
            assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
        for port in service.get("ports", ()):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), "TLS ends before it: loopback only"
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2]
            assert target.startswith("/")
            if not source.startswith((".", "/")):
                named.add(source)
        health = service.get("healthcheck", {})
        assert health.keys() <= HEALTH
        assert not health or health["test"][0] in ("CMD", "CMD-SHELL")
    assert named == set(compose["volumes"]), "volumes that are used and those that are declared"
    assert compose["services"]["poorter"]["read_only"] is True
