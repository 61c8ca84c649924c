# SPDX-License-Identifier: EUPL-1.2
"""An HTTP/1 response as it comes in, in pieces of any size (RFC 9112): pure, without a socket."""

from __future__ import annotations

import re
import zlib

HEAD_BYTES_MAX = 64 * 1024
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_LINE_MAX = 4096
_UNTIL_CLOSE = -1


class Broken(Exception):  # noqa: N818 - the other side's words, not a fault here
    """What came is no whole HTTP response."""


class Oversized(Broken):
    """It is larger than was asked for."""


class Answering:
    """One response. `status`, `headers` (lower case, repeated ones joined) and `body` once it is
    `whole`; `reusable`: whether the connection may carry another request after it."""

    __slots__ = (
        "_body",
        "_buffer",
        "_bytes_max",
        "_chunked",
        "_head_only",
        "_left",
        "_trailer",
        "headers",
        "reusable",
        "status",
        "whole",
    )

    def __init__(self, method: str, bytes_max: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = self.reusable = False
        self._head_only = method == "HEAD"
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._body = bytearray()
        self._left = 0  # bytes of the body, or of a chunk, that are still to come
        self._chunked = self._trailer = False

    @property
    def body(self) -> bytes:
        """What the response holds, unpacked. Raises Broken for what can't be, or is too large."""
        coding = self.headers.get("content-encoding", "").strip().lower()
        if coding in ("", "identity") or not self._body:
            return bytes(self._body)
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise Broken(f"it comes as {coding[:40]}")
        unpacking = zlib.decompressobj(wbits=47)  # gzip or zlib, whichever it is
        try:
            found = unpacking.decompress(bytes(self._body), self._bytes_max + 1)
        except zlib.error as wrong:
            raise Broken(f"it can't be unpacked: {wrong}") from None
        if len(found) > self._bytes_max:
            raise Oversized(f"over {self._bytes_max} bytes")
        if not unpacking.eof:
            raise Broken("it breaks off")
        return found

    def feed(self, data: bytes) -> bool:
        """Take what came; whether the response is whole. Raises Broken."""
        scanned = max(0, len(self._buffer) - 3)
        self._buffer += data
        while not self.status:
            if not self._head(scanned):
                return False
            scanned = 0
        if not self.whole:
            self.whole = self._chunks() if self._chunked else self._plain()
        if self.whole and self._buffer:
            self.reusable = False  # more than was asked for
        return self.whole

    def end(self) -> None:
        """The other side has closed. Raises Broken when that leaves the response unfinished."""
        if self.status and not self._chunked and self._left == _UNTIL_CLOSE:
            self.whole, self.reusable = True, False
        if not self.whole:
            raise Broken("the connection ended before the answer did")

    def _head(self, scanned: int) -> bool:
        """Read one head, if it is all there; what is only on the way (1xx) is passed over."""
        end = _END.search(self._buffer, scanned)
        if (len(self._buffer) if end is None else end.start()) > HEAD_BYTES_MAX:
            raise Broken(f"a head of over {HEAD_BYTES_MAX} bytes")
        if end is None:
            return False
        first, *lines = bytes(self._buffer[: end.start()]).replace(b"\r\n", b"\n").split(b"\n")
        del self._buffer[: end.end()]
        status = _STATUS.fullmatch(first)
        if status is None:
            raise Broken("no HTTP/1 status line")
        number = int(status[2])
        if number == 101:
            raise Broken("it speaks another protocol")
        if number < 200:
            return bool(self._buffer)
        self.status = number
        self.headers = _fields(lines)
        self._frame(newer=status[1] == b"1")
        return True

    def _frame(self, newer: bool) -> None:
        """How the body is marked off (RFC 9112, 6.3)."""
        headers = self.headers
        options = {one.strip().lower() for one in headers.get("connection", "").split(",")}
        coding, length = headers.get("transfer-encoding"), _length(headers.get("content-length"))
        if coding is not None and coding.strip().lower() != "chunked":
            raise Broken(f"transfer-encoding {coding[:40]}")
        both = coding is not None and length is not None  # so that one of them may be smuggled in
        self.reusable = newer and "close" not in options and not both
        if self._head_only or self.status in (204, 304):
            self._left = 0
        elif coding is not None:
            self._chunked = True
        elif length is not None:
            self._check_size(length)
            self._left = length
        else:
            self._left = _UNTIL_CLOSE

    def _plain(self) -> bool:
        buffer = self._buffer
        if self._left == _UNTIL_CLOSE:
            self._add(len(buffer))
            return False
        taken = min(self._left, len(buffer))
        self._left -= taken
        self._add(taken)
        return self._left == 0

    def _chunks(self) -> bool:
        while True:
            if self._left > 0:
                taken = min(self._left, len(self._buffer))
                self._left -= taken
                self._add(taken)
                if self._left:
                    return False
                self._left = _UNTIL_CLOSE  # the line end after a chunk
            line = self._line()
            if line is None:
                return False
            if self._trailer:
                if not line:
                    return True
            elif self._left == _UNTIL_CLOSE:
                if line:
                    raise Broken("a chunk is longer than it said")
                self._left = 0
            else:
                size = _CHUNK.fullmatch(line)
                if size is None:
                    raise Broken("no such chunk")
                self._left = int(size[1], 16)
                self._check_size(len(self._body) + self._left)
                self._trailer = self._left == 0

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if (len(self._buffer) if end < 0 else end) > _LINE_MAX:
            raise Broken("a line without an end")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _add(self, number: int) -> None:
        self._check_size(len(self._body) + number)
        self._body += self._buffer[:number]
        del self._buffer[:number]

    def _check_size(self, number: int) -> None:
        if number > self._bytes_max:
            raise Oversized(f"over {self._bytes_max} bytes")


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    first, *others = (one.strip() for one in text.split(","))
    if not (first.isascii() and first.isdecimal() and len(first) <= 18):
        raise Broken("no such content-length")
    if any(one != first for one in others):
        raise Broken("content-length says two things")
    return int(first)


def _fields(lines: list[bytes]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Broken("a header that is none")
        name = field[1].decode("ascii").lower()
        value = field[2].decode("latin-1").strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
