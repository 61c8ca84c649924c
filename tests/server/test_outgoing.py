"""What leaves the city over HTTP: whole answers, nothing else, and within bounds."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from poorter.city.errors import Invalid, Unavailable
from poorter.standards.http import outgoing as leaving
from poorter.standards.http.outgoing import Outgoing, Reply

OK = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Answers each request with what `answer` makes of its head and number."""

    def __init__(self, answer: Callable[[bytes, int], bytes], stay: bool = True) -> None:
        self._answer = answer
        self._stay = stay
        self.requests: list[bytes] = []
        self.connections = 0
        self.at_once = self.most = 0
        self.pause_s = 0.0
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                self.requests.append(head + body)
                await asyncio.sleep(self.pause_s)
                writer.write(self._answer(head, len(self.requests)))
                if not self._stay:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.at_once -= 1
            writer.close()


@asynccontextmanager
async def serving(
    answer: Callable[[bytes, int], bytes], stay: bool = True
) -> AsyncIterator[tuple[Server, Outgoing]]:
    served = Server(answer, stay)
    listening = await asyncio.start_server(served.talk, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    outgoing = Outgoing(("127.0.0.1", "localhost"))
    try:
        yield served, outgoing
    finally:
        await outgoing.close()
        listening.close()


def hello(head: bytes, number: int) -> bytes:
    return OK + b"content-length: 5\r\nx-number: %d\r\n\r\nhello" % number


def test_connections_are_used_again_and_requests_say_what_they_must() -> None:
    async def run() -> None:
        async with serving(hello) as (served, outgoing):
            url = served.url.replace("//", "//me:a%3Ab@") + "/a b/é?q=ü&x=%2F#part"
            first = await outgoing.send("POST", url, {"X-Desk": "7", "Host": "evil"}, b"abc")
            assert first == Reply(200, {"content-length": "5", "x-number": "1"}, b"hello")
            for _ in range(5):
                await outgoing.send("GET", served.url)
            assert served.connections == 1
        head, _, body = served.requests[0].partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        assert line == "POST /a%20b/%C3%A9?q=%C3%BC&x=%2F HTTP/1.1"
        assert f"Host: {served.url[7:]}" in headers and "Host: evil" not in headers
        assert "X-Desk: 7" in headers and "Content-Length: 3" in headers
        assert "Authorization: Basic bWU6YTpi" in headers and body == b"abc"
        assert served.requests[1].startswith(b"GET / HTTP/1.1\r\n")

    asyncio.run(run())


def test_no_header_brings_another_request_with_it() -> None:
    async def run() -> None:
        async with serving(hello) as (served, outgoing):
            for name, value in (("X", "a\r\nY: b"), ("X", "a\nb"), ("X\r\nY", "b"), ("", "b")):
                with pytest.raises(Unavailable):
                    await outgoing.send("GET", served.url, {name: value})
            with pytest.raises(Unavailable):
                await outgoing.send("GET /x HTTP/1.1\r\n", served.url)
            assert served.requests == []

    asyncio.run(run())


def test_only_to_hosts_that_are_allowed() -> None:
    async def run() -> None:
        outgoing = Outgoing(("allowed.example",))
        for url in ("http://127.0.0.1/", "ftp://allowed.example/", "http://", "http://a:x/", "x"):
            with pytest.raises(Invalid):
                await outgoing.send("GET", url)

    asyncio.run(run())


def test_what_goes_wrong_is_said() -> None:
    async def run() -> None:
        async with serving(hello) as (served, outgoing):
            with pytest.raises(Unavailable, match="sends over 4 bytes"):
                await outgoing.send("GET", served.url, bytes_max=4)
            served.pause_s = 5
            with pytest.raises(Unavailable, match=r"took over 0\.1 s"):
                await outgoing.send("GET", served.url, timeout_s=0.1)
        with pytest.raises(Unavailable):  # nobody listens there any more
            await outgoing.send("GET", served.url, timeout_s=1)
        await outgoing.close()
        async with serving(lambda *_: OK + b"content-length: 9\r\n\r\nhell", stay=False) as (s, o):
            with pytest.raises(Unavailable, match="not completed"):
                await o.send("GET", s.url)
        async with serving(lambda *_: OK + b"\r\nuntil the end", stay=False) as (s, o):
            assert (await o.send("GET", s.url)).body == b"until the end"
            assert (await o.send("GET", s.url)).body == b"until the end"
            assert s.connections == 2

    asyncio.run(run())


def test_an_answer_nobody_asked_for_is_no_answer() -> None:
    async def run() -> None:
        async with serving(lambda h, n: hello(h, n) + hello(h, 99)) as (served, outgoing):
            for number in (1, 2):
                reply = await outgoing.send("GET", served.url)
                assert reply.headers["x-number"] == str(number)
            assert served.connections == 2

    asyncio.run(run())


def test_one_that_hangs_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving(hello) as (slow, outgoing), serving(hello) as (quick, _):
            slow.pause_s = 0.4
            asked = [asyncio.create_task(outgoing.send("GET", slow.url)) for _ in range(12)]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(0.2):
                await outgoing.send("GET", quick.url)
            assert all(not one.done() for one in asked)
            assert [reply.status for reply in await asyncio.gather(*asked)] == [200] * 12
            assert slow.most == 4 and slow.connections == 4

    monkeypatch.setattr(leaving, "TO_ONE_MAX", 4)
    asyncio.run(run())


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_packed_bodies_are_unpacked_within_the_same_bound(coding: str) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress

    def packed(size: int) -> Callable[[bytes, int], bytes]:
        body = pack(b"\0" * size)
        head = f"content-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n"
        return lambda *_: OK + head.encode() + body

    async def run() -> None:
        async with serving(packed(500)) as (served, outgoing):
            assert (await outgoing.send("GET", served.url)).body == b"\0" * 500
        async with serving(packed(1_000_000)) as (served, outgoing):
            with pytest.raises(Unavailable, match="sends over 10000 bytes"):
                await outgoing.send("GET", served.url, bytes_max=10_000)

    asyncio.run(run())


@pytest.mark.parametrize(
    "raw",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
        OK + b"content-length: -1\r\n\r\nhello",
        OK + b"content-length: 5\r\ncontent-length: 7\r\n\r\nhello",
        OK + b"transfer-encoding: chunked\r\n\r\nz\r\nhello\r\n0\r\n\r\n",
        OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
        b"\0" * 400,
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    async def run() -> None:
        async with serving(lambda *_: raw, stay=False) as (served, outgoing):
            with pytest.raises(Unavailable):
                await outgoing.send("GET", served.url)

    asyncio.run(run())


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async def run() -> None:
        moved = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
        async with serving(lambda *_: moved) as (served, outgoing):
            assert (await outgoing.send("GET", served.url)).status == 302
            assert len(served.requests) == 1

    asyncio.run(run())
