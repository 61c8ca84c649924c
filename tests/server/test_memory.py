# SPDX-License-Identifier: EUPL-1.2
"""What is asked of glibc is what it does; elsewhere there is nothing to ask."""

import platform
import subprocess
import sys

import pytest

THREADS = """
import ctypes, threading
from poorter import memory
{first}
libc, gate = ctypes.CDLL(None), threading.Barrier(5)
libc.malloc.restype = ctypes.c_void_p
def take():
    gate.wait()
    libc.malloc(1000)
    gate.wait()
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads: thread.start()
gate.wait(), gate.wait()
for thread in threads: thread.join()
memory.give_back()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def heaps(first: str) -> int:
    """How many heaps a process with four threads has."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS.format(first=first)], capture_output=True, check=True
    )
    return done.stdout.decode().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")
def test_threads_share_one_heap() -> None:
    assert heaps("memory.keep_one_heap()") == 1
    assert heaps("") > 1
