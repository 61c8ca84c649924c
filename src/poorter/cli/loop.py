# SPDX-License-Identifier: EUPL-1.2
"""The event loop of a served city: woken once, however many threads want it.

The server hands over each request by `call_soon_threadsafe`, and asyncio's own loop writes a byte
to itself for each. Under load that is a system call a request, 3 of its 27 us where nothing is
answered; here there is one until the loop has looked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Loop(asyncio.SelectorEventLoop):
    """asyncio's, with less to read. It leans on two of its methods that are not public."""

    _awake = False

    def _write_to_self(self) -> None:
        # What is called was queued before this. Either the loop has not read its byte yet, and
        # will run all that is queued after it has; or `_awake` is False already.
        if not self._awake:
            self._awake = True
            super()._write_to_self()  # type: ignore[misc]

    def _read_from_self(self) -> None:
        super()._read_from_self()  # type: ignore[misc]
        self._awake = False


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
