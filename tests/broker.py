# SPDX-License-Identifier: EUPL-1.2
"""A real Mosquitto on loopback, and devices that speak MQTT 3.1.1 to it with a few bytes."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.served import free_port


@contextmanager
def mosquitto(folder: Path, *settings: str, port: int | None = None) -> Iterator[int]:
    """Its port. `settings`: lines of its configuration."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "tools/need installs mosquitto"
    port = port or free_port()
    file = folder / f"mosquitto-{port}.conf"
    lines = [f"listener {port} 127.0.0.1", "user root", *settings]
    file.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program, "-c", str(file)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "mosquitto did not start"
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def _packet(kind: int, body: bytes) -> bytes:
    size, length = len(body), bytearray()
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (128 if size else 0))
        if not size:
            return bytes([kind]) + bytes(length) + body


class Device:
    """One device: connects with its name and key, publishes at QoS 1."""

    def __init__(
        self,
        port: int,
        name: str,
        key: str,
        will: tuple[str, bytes] | None = None,
        client_id: str = "",
    ) -> None:
        self.port, self.name, self.key, self.will = port, name, key, will
        self._client_id = client_id or name
        self._mid = 0

    async def __aenter__(self) -> "Device":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port)
        flags = 0xC2 | (0x0C if self.will else 0)
        body = _text("MQTT") + bytes([4, flags, 0, 60]) + _text(self._client_id)
        if self.will:
            body += _text(self.will[0]) + _text(self.will[1])
        self._writer.write(_packet(0x10, body + _text(self.name) + _text(self.key)))
        self.code = (await self._reader.readexactly(4))[3]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.write(b"\xe0\x00")
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def cut(self) -> None:
        """The link breaks without a word: the broker publishes the will."""
        self._writer.transport.abort()

    async def publish(self, topic: str, *payloads: bytes) -> None:
        """Send all of it, and wait until the broker has it."""
        for payload in payloads:
            self._mid = self._mid % 65000 + 1
            body = _text(topic) + self._mid.to_bytes(2, "big") + payload
            self._writer.write(_packet(0x32, body))
        await self._writer.drain()
        await self._reader.readexactly(4 * len(payloads))

    async def subscribe(self, topic: str) -> int:
        """At QoS 1; what the broker answers: 1, or 128 where it refuses."""
        self._writer.write(_packet(0x82, b"\x00\x01" + _text(topic) + b"\x01"))
        return (await self._packet())[1][-1]

    async def next(self) -> bytes:
        """The payload of the next message; it is acknowledged."""
        kind, body = await self._packet()
        assert kind >> 4 == 3, kind
        size = 2 + int.from_bytes(body[:2], "big")
        if kind & 0x06:
            self._writer.write(_packet(0x40, body[size : size + 2]))
            size += 2
        return body[size:]

    async def _packet(self) -> tuple[int, bytes]:
        kind = (await self._reader.readexactly(1))[0]
        size, shift = 0, 0
        while True:
            digit = (await self._reader.readexactly(1))[0]
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                return kind, await self._reader.readexactly(size)


async def publish_all(port: int, work: Sequence[tuple[str, str, str, list[bytes]]]) -> None:
    """(name, key, topic, payloads) of many devices, a hundred of them at once."""
    gate = asyncio.Semaphore(100)

    async def one(name: str, key: str, topic: str, payloads: list[bytes]) -> None:
        async with gate, Device(port, name, key) as device:
            assert device.code == 0, f"{name} was refused"
            await device.publish(topic, *payloads)

    await asyncio.gather(*(one(*each) for each in work))
