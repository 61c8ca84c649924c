# SPDX-License-Identifier: EUPL-1.2
"""Links that break: nothing that was acknowledged is lost, nothing that was written is denied."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.database import Database, database
from tests.permits import READ, WRITE
from tests.served import free_port

from poorter.city.clock import ManualClock
from poorter.city.entity import Attribute, Entity
from poorter.city.errors import Unavailable
from poorter.store.contract import Change, Create
from poorter.store.postgres.store import open_store


def made(number: int) -> Change:
    return Change((Create(Entity(f"urn:e:{number}", ("P",), (Attribute("n", number),))),))


class Between:
    """Passes on what client and server say, until it is told to cut at the next commit."""

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.cut_at_commit = False
        self.cuts = 0
        self._server_port = server_port
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(*pair, client), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.cut_at_commit and source is client and b"COMMIT" in data:
                    self.cut_at_commit = False
                    self.cuts += 1
                    client.shutdown(socket.SHUT_RDWR)  # the server hears it, its answer is lost
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


@contextmanager
def between(server: Database) -> Iterator[Between]:
    line = Between(server.port)
    try:
        yield line
    finally:
        line.close()


def test_a_commit_whose_answer_was_lost_is_asked_about(server: Database, tmp_path: Path) -> None:
    url = server.new_city()
    with between(server) as line:
        far = url.replace(f":{server.port}", f":{line.port}")
        store = open_store(far, tmp_path, ManualClock(), server.owner_url)
        try:
            store.commit(WRITE, made(1)).result(20)
            line.cut_at_commit = True
            assert store.commit(WRITE, made(2)).result(20).sequence == 2
            assert line.cuts == 1
            assert store.entity(READ, "urn:e:2").version == 1
            assert store.commit(WRITE, made(3)).result(20).sequence == 3
        finally:
            store.close()


def test_a_server_that_stops_at_once_loses_nothing(tmp_path: Path) -> None:
    with database() as server:
        store = open_store(server.new_city(), tmp_path, ManualClock(), server.owner_url)
        try:
            done = []
            for number in range(60):
                if number % 20 == 10:
                    server.stop("immediate")
                    with pytest.raises(Unavailable):
                        store.commit(WRITE, made(1000 + number)).result(20)
                    server.start()
                done.append(store.commit(WRITE, made(number)).result(20).sequence)
            assert done == list(range(1, 61))  # events have no gaps
            for number in range(60):
                assert store.entity(READ, f"urn:e:{number}").attributes[0].name == "n"
            assert store.sequence() == 60
        finally:
            store.close()
