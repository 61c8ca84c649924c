"""What leaves the city over HTTP: whole answers in any pieces, nothing else, and within bounds."""

import asyncio
import gzip
import itertools
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poorter.city.errors import Invalid, Unavailable
from poorter.standards.http import connections
from poorter.standards.http.answering import Answering, Broken
from poorter.standards.http.outgoing import Outgoing, Reply

OK = b"HTTP/1.1 200 OK\r\n"


def fed(raw: bytes, cuts: list[int] | None = None, method: str = "GET") -> Answering | None:
    """A response in pieces, then the end; None when it is broken."""
    answering = Answering(method, 10_000)
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts or ())})
    try:
        for start, end in itertools.pairwise(places):
            if answering.feed(raw[start:end]):
                answering.reusable = answering.reusable and end == len(raw)
                return answering
        answering.end()
    except Broken:
        return None
    return answering


def by_h11(raw: bytes, method: str) -> tuple[int, bytes, bool] | None:
    """Status, body and whether the connection can be used again, as h11 has it."""
    us = h11.Connection(h11.CLIENT)
    us.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    us.send(h11.EndOfMessage())
    us.receive_data(raw)
    status, body = 0, b""
    closed = False
    try:
        while True:
            event = us.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                again = us.their_state is h11.DONE and us.our_state is h11.DONE
                left, _ = us.trailing_data
                return status, body, again and not closed and not left
            elif event is h11.NEED_DATA:
                if closed:
                    return None
                closed = True
                us.receive_data(b"")
            elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                return None
    except h11.RemoteProtocolError:
        return None


_HEADERS = st.sampled_from(
    [
        b"content-length: 5", b"content-length: 0", b"content-length: 5, 5", b"Content-Length:7",
        b"content-length: x", b"content-length: -1", b"transfer-encoding: chunked",
        b"transfer-encoding: gzip", b"connection: close", b"connection: keep-alive",
        b"x: a", b"x:", b"y : 1", b"bad", b"x: \xe9",
    ]
)  # fmt: skip
_BODIES = st.sampled_from(
    [
        b"", b"hello", b"hell", b"5\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        b"0\r\n\r\n", b"5\r\nhello\r\n0\r\nt: r\r\n\r\n", b"5\r\nhelloX0\r\n\r\n", b"z\r\n",
        b"5\r\nhel", b"A\r\n0123456789\r\n0\r\n\r\n", b"hellohello",
    ]
)  # fmt: skip
_FIRSTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 Not",
        b"HTTP/1.1 500 Oh no", b"HTTP/1.1 200", b"HTTP/2 200 OK", b"ICY 200 OK",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    _FIRSTS,
    st.lists(_HEADERS, max_size=3),
    _BODIES,
    st.lists(st.integers(0, 500), max_size=4),
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nx: y\r\n\r\n"]),
)
def test_as_another_parser_reads_it(
    first: bytes, headers: list[bytes], body: bytes, cuts: list[int], method: str, early: bytes
) -> None:
    raw = early + b"\r\n".join([first, *headers]) + b"\r\n\r\n" + body
    theirs, ours = by_h11(raw, method), fed(raw, cuts, method)
    lengths = {h.partition(b":")[2].strip() for h in headers if h.lower().startswith(b"content-l")}
    both = lengths and b"transfer-encoding: chunked" in headers
    if theirs is None or both:  # what may be smuggled is never used again
        assert ours is None or (both and not ours.reusable)
        return
    assert ours is not None
    assert (ours.status, ours.body) == theirs[:2]
    assert not ours.reusable or theirs[2]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3))
def test_noise_breaks_and_nothing_else(raw: bytes, cuts: list[int]) -> None:
    fed(raw, cuts)
    fed(OK + b"transfer-encoding: chunked\r\n\r\n" + raw, cuts)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000,
        OK + b"content-length: 10001\r\n\r\n",
        OK + b"\r\n" + b"a" * 10_001,
        OK + b"transfer-encoding: chunked\r\n\r\nffffffff\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5;" + b"x" * 5000,
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"t: " + b"x" * 5000,
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
    ],
)
def test_nothing_grows_without_a_bound(raw: bytes) -> None:
    with pytest.raises(Broken):
        Answering("GET", 10_000).feed(raw)


def test_packed_bodies() -> None:
    for coding, packed in (
        ("gzip", gzip.compress(b"hello" * 100)),
        ("deflate", zlib.compress(b"hello" * 100)),
    ):
        head = OK + f"content-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
        found = fed(head + packed)
        assert found is not None and found.body == b"hello" * 100
        broken = fed(head.replace(str(len(packed)).encode(), b"10") + packed[:10])
        with pytest.raises(Broken):
            assert broken is not None and broken.body
    bomb = gzip.compress(b"\0" * 1_000_000)
    head = OK + f"content-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    found = fed(head + bomb)
    with pytest.raises(Broken):
        assert found is not None and found.body


# -- over real sockets ---------------------------------------------------------------------------


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
    yield served, outgoing
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
        with pytest.raises(Unavailable):
            await outgoing.send("GET", served.url, timeout_s=1)
        async with serving(lambda *_: OK + b"content-length: 9\r\n\r\nhell", stay=False) as (s, o):
            with pytest.raises(Unavailable, match="ended before"):
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

    monkeypatch.setattr(connections, "TO_ONE_MAX", 4)
    asyncio.run(run())
