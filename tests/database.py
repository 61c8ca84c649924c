# SPDX-License-Identifier: EUPL-1.2
"""A real PostgreSQL with PostGIS on loopback, for as long as the tests of one process run."""

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg
from tests.served import free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_roles = itertools.count(1)


class Database:
    """`owner_url`: of the tables' owner; `superuser_url`: of who set it up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.port = free_port()
        self._log = folder / "log"
        self._socket = folder
        self.superuser_url = self.url("postgres", "postgres")
        self.owner_url = self.url("poorter_owner")

    def url(self, role: str, database: str = "poorter") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def new_city(self) -> str:
        """The address of a role that has no city yet."""
        role = f"city_{next(_roles)}"
        with psycopg.connect(self.superuser_url, autocommit=True) as link:
            link.execute(f"CREATE ROLE {role} LOGIN")  # type: ignore[arg-type]
        return self.url(role)

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "''",
            "max_connections": "60",
            "shared_buffers": "64MB",
            "max_wal_size": "256MB",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        run("pg_ctl", "start", "-w", "-D", self.folder, "-l", self._log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """`mode` immediate: as if the machine had stopped."""
        run("pg_ctl", "stop", "-w", "-D", self.folder, "-m", mode)


def run(program: str, *given: Any) -> None:
    """As nobody who may do anything on this machine: PostgreSQL refuses to be run by root."""
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    done = subprocess.run(
        [str(PROGRAMS / program), *map(str, given)],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        timeout=60,
        **who,
    )
    assert done.returncode == 0, done.stderr.decode()


@contextmanager
def database() -> Iterator[Database]:
    assert PROGRAMS.is_dir(), "tools/need installs PostgreSQL 15 and PostGIS"
    folder = Path(tempfile.mkdtemp(prefix="poorter-postgres-"))
    made = Database(folder)
    try:
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        kind = ("-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-locale")
        run("initdb", "-D", made.folder, *kind)
        made.start()
        try:
            _set_up(made)
            yield made
        finally:
            made.stop("immediate")
    finally:
        shutil.rmtree(folder)


def _set_up(made: Database) -> None:
    """The administrator's script, as psql runs it."""
    script = (files("poorter.store.postgres") / "setup.sql").read_text("utf-8")
    before, _, after = script.partition("\\connect poorter\n")
    for url, part in ((made.superuser_url, before), (made.url("postgres"), after)):
        with psycopg.connect(url, autocommit=True) as link:
            for statement in part.split(";\n"):
                if statement.strip():
                    link.execute(statement)  # type: ignore[arg-type]
