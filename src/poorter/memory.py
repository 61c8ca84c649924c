# SPDX-License-Identifier: EUPL-1.2
"""What a served city does so that memory it no longer needs goes back to the system.

glibc gives each thread a heap of its own, and keeps what is freed in each: half of what a city had
taken there was free. Threads take turns at the interpreter anyway, so one heap serves them all.
Elsewhere than on glibc none of it is there, nor needed.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import cache

#: mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_TRIM_BYTES = 1024 * 1024
#: as it is at first; but glibc raises it to the size of what is freed, into the heap from then on
_MMAP_BYTES = 128 * 1024


def keep_one_heap() -> None:
    """Call it before there are threads."""
    set_option = _of_libc("mallopt")
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)
        set_option(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        set_option(_M_MMAP_THRESHOLD, _MMAP_BYTES)


def settle() -> None:
    """What is there at the start stays, so the collector need not look at it again, nor look for
    cycles after each few hundred objects: requests make many, and hardly a cycle among them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    give_back()


def give_back() -> None:
    """Pages of the heap in which nothing lies go back to the system; takes a few milliseconds."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _of_libc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None)
